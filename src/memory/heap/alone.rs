//! [`Alone`]: a value that only its one holder reaches.
//!
//! Law: there is no way from a shared reference to the value, so that sharing it shares nothing; what
//! is not [`Sync`] can stand in what is.

#![expect(unsafe_code, reason = "says that what gives nothing to many is safe with many")]

use std::fmt;

/// A value that is reached by `&mut` only.
pub struct Alone<T>(T);

// SAFETY: `&Alone<T>` gives no access to the T: no method takes it, and the field is private here.
unsafe impl<T> Sync for Alone<T> {}

impl<T> Alone<T> {
    /// For one at a time.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for who has it alone.
    pub const fn get_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Alone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alone").finish_non_exhaustive()
    }
}
