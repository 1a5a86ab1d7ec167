//! [`give_back`]: what the process's own heap has no use for goes back to the host.
//!
//! Law: of the calling thread, for every thread's part of the heap is its own, and nobody else may look
//! into it. The heap does it itself as it allocates; a thread that has become idle after a burst would
//! keep the burst's memory for ever. Where another heap is the process's, as in tests, it does nothing.

/// Gives back what the calling thread has freed, as far as whole pages of it are free.
pub fn give_back() {
    #[expect(unsafe_code, reason = "the heap's own interface is C's")]
    // SAFETY: mi_collect asks for nothing but that it is called by a thread, which it looks up itself.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
