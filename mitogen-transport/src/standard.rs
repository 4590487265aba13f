//! Which of the standard streams this program was started without (`>&-`).
//!
//! Before `main` Rust's runtime opens `/dev/null` in the place of each that is closed, which is prudent (the next file
//! that is opened would be taken for it), and makes what is written there seem to have arrived. So it is looked at
//! before that.

use rustix::io::{Errno, fcntl_getfd};
use std::sync::atomic::{AtomicU8, Ordering};

/// A bit for each that was closed: 1, 2 and 4.
static CLOSED: AtomicU8 = AtomicU8::new(0);

extern "C" fn look() {
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for (number, stream) in streams.into_iter().enumerate() {
        if fcntl_getfd(stream) == Err(Errno::BADF) {
            CLOSED.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
}

// SAFETY: the system calls what this section lists, once, with arguments that `look` does not take, before `main`. It
// makes three system calls, and touches nothing that has to be set up before.
#[allow(unsafe_code)]
#[used]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
static LOOK: extern "C" fn() = look;

/// Whether this standard stream (0, 1 or 2) was closed when the program started.
pub fn was_closed(number: u8) -> bool {
    CLOSED.load(Ordering::Relaxed) >> number & 1 == 1
}
