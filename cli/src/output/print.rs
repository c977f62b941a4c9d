//! Writing to standard output.

use std::{
    fmt::Display,
    io::{ErrorKind, Write, stdout},
};

/// As a shell shows a process that was ended by SIGPIPE.
const BROKEN_PIPE_EXIT_CODE: i32 = 141;

/// [`print()`] with a format, as `print!`, which would panic where a pipe is closed.
macro_rules! out {
    ($($format:tt)*) => { $crate::output::print(format_args!($($format)*)) };
}
pub(crate) use out;

/// Prints text as it is, without a line end of its own. Whoever reads may have seen enough, as `head` does: then the process ends,
/// quietly and not as if all had been well.
pub(crate) fn print(text: impl Display) {
    let written = stdout().write_all(text.to_string().as_bytes()).and_then(|()| stdout().flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            std::process::exit(BROKEN_PIPE_EXIT_CODE)
        }
        Err(error) => eprintln!("error: write to standard output: {error}"),
        Ok(()) => {}
    }
}
