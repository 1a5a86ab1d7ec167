//! [`Unconfined`]: what a daemon is confined by in the process of a fuzzer, which goes on to fuzz.
//!
//! Law: says that every measure was taken, and takes none.

use linmemd::os::OsError;
use linmemd::os::confine::{Confiner, Given, Landlocked, Program, Reach};

/// Takes no measure.
#[derive(Debug)]
pub(crate) struct Unconfined;

impl Confiner for Unconfined {
    fn no_new_privileges(&self) -> Result<(), OsError> {
        Ok(())
    }

    fn not_dumpable(&self) -> Result<(), OsError> {
        Ok(())
    }

    fn no_core(&self) -> Result<(), OsError> {
        Ok(())
    }

    fn no_new_executable_memory(&self) -> Result<(), OsError> {
        Ok(())
    }

    fn give_up_capabilities(&self, _kept: &[u32]) -> Result<Given, OsError> {
        Ok(Given { permitted: 0, bounding: 0 })
    }

    fn restrict(&self, reach: &Reach) -> Result<Landlocked, OsError> {
        Ok(Landlocked { abi: 1, without: Vec::new(), paths: reach.read.len() })
    }

    fn filter(&self, _program: &Program) -> Result<(), OsError> {
        Ok(())
    }

    fn threads(&self) -> usize {
        1
    }
}
