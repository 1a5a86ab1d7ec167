//! What a thread asks for itself, of [`FailingKernel`]: refused like any call, or really asked.

use crate::os::failing::FailingKernel;
use crate::os::kernel::{Call, Linux, Policy, Threads};

impl Threads for FailingKernel {
    fn set_thread_policy(&self, policy: Option<Policy>, nodes: &[u32]) -> Result<(), i32> {
        self.admit(Call::SetThreadPolicy)?;
        Linux.set_thread_policy(policy, nodes)
    }

    fn set_thread_nice(&self, nice: i32) -> Result<(), i32> {
        self.admit(Call::SetThreadNice)?;
        Linux.set_thread_nice(nice)
    }

    fn set_thread_processors(&self, processors: &[u32]) -> Result<(), i32> {
        self.admit(Call::SetThreadProcessors)?;
        Linux.set_thread_processors(processors)
    }
}
