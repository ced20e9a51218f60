//! The allocator of every binary, and how soon it gives memory back.

pub use tikv_jemallocator::Jemalloc;

/// Makes jemalloc the binary's allocator. Freed memory goes back to the system within about a second, by a thread in the
/// background: with jemalloc's own 10 s, what one flush freed would still be resident during the next, beyond the memory limit
/// (I8).
#[macro_export]
macro_rules! use_jemalloc {
    () => {
        #[global_allocator]
        static ALLOCATOR: $crate::allocator::Jemalloc = $crate::allocator::Jemalloc;

        /// Read by jemalloc at its start, under this name.
        // SAFETY: nothing else exports the name, and jemalloc expects a pointer to text that ends with a zero.
        #[unsafe(export_name = "_rjem_malloc_conf")]
        pub static MALLOC_CONF: &[u8; 60] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";
    };
}
