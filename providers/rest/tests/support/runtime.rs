/// A runtime on tokio's, for tests and examples.
#[derive(Debug)]
pub struct TestRuntime(std::time::Instant);

#[allow(clippy::disallowed_methods, reason = "a runtime is where these belong")]
impl larder_core::Runtime for TestRuntime {
    fn now(&self) -> larder_core::Timestamp {
        larder_core::Timestamp::now()
    }

    fn monotonic(&self) -> std::time::Duration {
        self.0.elapsed()
    }

    fn random(&self) -> u64 {
        4
    }

    fn sleep(&self, duration: std::time::Duration) -> larder_core::runtime::BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, _: &'static str, task: larder_core::runtime::BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn blocking(&self, _: &'static str, work: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(work);
    }

    fn in_place(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) {
        self.blocking(name, work);
    }
}

/// What a provider is opened with.
#[allow(clippy::disallowed_methods, reason = "a runtime is where this belongs")]
pub fn opening(schemas: &[&'static larder_core::Schema]) -> larder_core::Opening {
    let runtime = std::sync::Arc::new(TestRuntime(std::time::Instant::now()));
    larder_core::Opening { runtime, schemas: schemas.into() }
}
