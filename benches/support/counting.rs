//! An allocator that counts what the server's thread holds and how often it asks.
//!
//! Only threads that called `count_this_thread` are counted, so that the clients in the same process cost nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The system's allocator, with counters.
pub struct Counting;

static ASKED: AtomicI64 = AtomicI64::new(0);
static HELD: AtomicI64 = AtomicI64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    // Without a destructor and without lazy initialisation, so that reading it never allocates.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// What the counted threads hold now.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// Bytes that were asked for.
    pub asked: i64,
    /// The same with what glibc's malloc adds: a word, rounded up to 16 bytes.
    pub held: i64,
    /// How often they asked, ever.
    pub calls: u64,
}

pub fn count_this_thread() {
    COUNTED.set(true);
}

pub fn heap() -> Heap {
    Heap { asked: ASKED.load(Ordering::SeqCst), held: HELD.load(Ordering::SeqCst), calls: CALLS.load(Ordering::SeqCst) }
}

fn note(bytes: usize, sign: i64, calls: u64) {
    if COUNTED.get() {
        let chunk = (bytes + size_of::<usize>()).next_multiple_of(16).max(32);
        ASKED.fetch_add(sign * bytes as i64, Ordering::Relaxed);
        HELD.fetch_add(sign * chunk as i64, Ordering::Relaxed);
        CALLS.fetch_add(calls, Ordering::Relaxed);
    }
}

// SAFETY: `GlobalAlloc` can't be implemented without `unsafe`; every call goes to the system's allocator unchanged, and
// the counters are atomics and a thread local that needs neither memory nor a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 1, 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), 1, 1);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(layout.size(), -1, 0);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(layout.size(), -1, 0);
        note(size, 1, 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}
