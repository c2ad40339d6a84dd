//! Tells glibc's allocator not to hoard.
//!
//! glibc keeps an arena for each thread and keeps large freed buffers in them: with sled's threads an agent that appended
//! 400,000 entries held 34 MB, and 12 MB with one arena and a threshold of 64 KiB from which a buffer is given back to the
//! system at once (`docs/decisions`; invariant 13). Other C libraries do not do this and are left alone.

/// Largest buffer that the allocator keeps for itself once it is freed, in bytes. Measured: see above.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BUFFER_BYTES_MAX: libc::c_int = 64 * 1024;

/// Sets the allocator up. Called first thing in `main`, before there is a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "mallopt has no safe form")]
pub fn keep_memory_small() {
    // SAFETY: mallopt takes two integers and no pointers; it is safe at any time, and has its effect on arenas only before
    // other threads have made theirs. It answers 0 if it knows no such option: then memory is larger, and nothing is wrong.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT_BUFFER_BYTES_MAX);
    }
}

/// Nothing to set up on this system.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_memory_small() {}
