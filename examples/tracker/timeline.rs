//! What the user reads: numbered chapters, and under each who did what.

use std::io::{IsTerminal, stdout};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::protocol::Page;

/// Prints the story as it happens.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    chapters: usize,
    /// The bar of the sync that is under way; never there without a terminal.
    bar: Option<ProgressBar>,
}

impl Timeline {
    /// Begins a chapter.
    pub(crate) fn chapter(&mut self, title: &str) {
        self.chapters += 1;
        println!("\n{:>2}  {title}", self.chapters);
    }

    /// `who` did or said something.
    pub(crate) fn say(&mut self, who: &str, what: impl AsRef<str>) {
        self.end_progress();
        println!("      {who:<10} {}", what.as_ref());
    }

    /// Shows a page of a sync: the bar of its model grows by a block, or a line is printed.
    ///
    /// A REST list does not say how long it is, so the bar has no end to grow to.
    pub(crate) fn page(&mut self, who: &str, page: &Page) {
        if page.complete {
            return self.end_progress();
        }
        let what = format!("{}s: {} rows", page.model.to_lowercase(), page.rows);
        if !stdout().is_terminal() {
            return println!("      {who:<10} {what}");
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("      {prefix:<10} {wide_msg}");
            let bar =
                ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout()).with_prefix(who.to_owned());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.inc(1);
        let blocks = usize::try_from(bar.position()).unwrap_or_default();
        bar.set_message(format!("{} {what}", "█".repeat(blocks.min(40))));
    }

    /// Leaves the bar as it is, whether its sync was completed or not.
    fn end_progress(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.abandon();
            // It leaves the cursor at its end.
            println!();
        }
    }
}
