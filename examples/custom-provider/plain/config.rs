//! How a file is configured and opened.

use std::path::PathBuf;
use std::sync::Arc;

use larder::Result;
use larder::core::{OpenProvider, Opening, Provider, async_trait};

use super::provider::OpenFile;

/// A JSON file that is not open yet; it need not exist.
#[derive(Clone, Debug)]
pub(crate) struct PlainFile {
    path: PathBuf,
}

impl PlainFile {
    /// The file at `path`.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

#[async_trait]
impl OpenProvider for PlainFile {
    async fn open(self: Box<Self>, opening: &Opening) -> Result<Arc<dyn Provider>> {
        Ok(Arc::new(OpenFile::open(self.path, opening).await?))
    }
}
