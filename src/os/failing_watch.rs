//! [`FailingKernel`]'s files that tell by themselves: a test's files never do, and are to be read.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crate::os::failing::FailingKernel;
use crate::os::kernel::{Call, Linux, Watch};

impl Watch for FailingKernel {
    fn watch(&self, path: &Path, trigger: Option<&str>) -> Result<OwnedFd, i32> {
        self.admit(Call::Watch)?;
        match self.replaced(path) {
            None => Linux.watch(path, trigger),
            Some(text) => text.and(Err(libc::EOPNOTSUPP)),
        }
    }

    fn wait(
        &self,
        watched: &[BorrowedFd<'_>],
        bell: BorrowedFd<'_>,
        at_most: Option<Duration>,
    ) -> Result<Vec<bool>, i32> {
        Linux.wait(watched, bell, at_most)
    }

    fn reread(&self, watched: &OwnedFd) -> Result<String, i32> {
        Linux.reread(watched)
    }
}
