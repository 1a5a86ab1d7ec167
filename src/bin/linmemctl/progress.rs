//! Progress bars of transfers, on standard error.
//!
//! Its law: a bar appears only where `Output::live` allows it and never outlives its transfer.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// One transfer's bar; drawn or not.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar to `total` bytes, or a spinner where the total is unknown.
    pub(crate) fn new(output: &Output, what: &str, total: Option<u64>) -> Self {
        let target = match output.live() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let template = match (total, output.no_color) {
            (Some(_), false) => {
                "{msg} [{bar:30.cyan}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}"
            }
            (Some(_), true) => {
                "{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}"
            }
            (None, _) => "{msg} {bytes} {binary_bytes_per_sec}",
        };
        let bar = ProgressBar::with_draw_target(total, target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Self { bar }
    }

    /// So many bytes are done.
    pub(crate) fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
