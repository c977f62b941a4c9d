//! Lines to a descriptor that may be a pipe which nobody reads: they are lost then, and hold up nobody.
//!
//! The descriptor is shared with other processes, so it is not made non-blocking. Instead it is asked each time: a pipe that
//! can be written to has room for [`PIECE_BYTES`] at least. Only another process that writes to the same pipe at the very same
//! moment could take that room.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::config::LogFormat;

/// So much fits into a pipe that can be written to at all (`PIPE_BUF`).
const PIECE_BYTES: usize = 4096;

/// For a reader that is there and only slow. Waited for once: as long as lines are lost, none waits.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
const NO_PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Writes each line at once or never.
pub(super) struct Lines<F> {
    to: F,
    format: LogFormat,
    /// Lines since the last one that was written whole.
    lost: u64,
    /// Whether the last one was written in part.
    torn: bool,
}

impl<F: AsFd> Lines<F> {
    pub(super) fn new(to: F, format: LogFormat) -> Self {
        Self { to, format, lost: 0, torn: false }
    }

    fn line(&mut self, line: &[u8]) {
        if self.lost > 0 {
            let notice = self.notice();
            if self.all(&notice) {
                self.lost = 0;
            }
        }
        if self.lost > 0 || !self.all(line) {
            self.lost += 1;
        }
    }

    /// Whether all of it was written.
    fn all(&mut self, line: &[u8]) -> bool {
        if self.torn {
            if !self.piece(b"\n") {
                return false;
            }
            self.torn = false;
        }
        for piece in line.chunks(PIECE_BYTES) {
            if !self.piece(piece) {
                return false;
            }
            self.torn = true;
        }
        self.torn = false;
        true
    }

    fn piece(&mut self, piece: &[u8]) -> bool {
        let mut rest = piece;
        while !rest.is_empty() {
            if !self.has_room() {
                return false;
            }
            match rustix::io::write(&self.to, rest) {
                Ok(count) => {
                    self.torn |= count < rest.len(); // of a disk that is full, say
                    rest = rest.get(count..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn has_room(&self) -> bool {
        let patience = if self.lost == 0 { PATIENCE } else { NO_PATIENCE };
        let mut asked = [PollFd::new(&self.to, PollFlags::OUT)];
        // A signal in between counts as no room: there are hardly any.
        poll(&mut asked, Some(&patience)).is_ok() && asked[0].revents().contains(PollFlags::OUT)
    }

    /// A line as the others are, which says how many are not there.
    fn notice(&self) -> Vec<u8> {
        let (mut time, lost) = (String::new(), self.lost);
        // Without a time it is still a line.
        let _written = SystemTime.format_time(&mut Writer::new(&mut time));
        let (target, message) = (module_path!(), "lines of the log were lost, nobody took them");
        let line = match self.format {
            LogFormat::Text => format!("{time}  WARN {target}: {message} lost={lost}\n"),
            LogFormat::Json => format!(
                "{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"message\":\"{message}\",\"lost\":{lost},\"target\":\"{target}\"}}\n"
            ),
        };
        line.into_bytes()
    }
}

/// A whole line comes with each call. Never fails: there is nobody to tell.
impl<F: AsFd> io::Write for Lines<F> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read, Write};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn lines(format: LogFormat) -> (PipeReader, Lines<PipeWriter>) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, Lines::new(writer, format))
    }

    /// Writes in a thread of its own, which must come to its end.
    fn write_all(mut lines: Lines<PipeWriter>, all: Vec<Vec<u8>>) -> Lines<PipeWriter> {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            for line in all {
                lines.write_all(&line).unwrap();
            }
            done.send(lines).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(20)).expect("it does not block")
    }

    fn numbered(number: usize) -> Vec<u8> {
        format!("{{\"number\":{number},\"fill\":\"{}\"}}\n", "x".repeat(100)).into_bytes()
    }

    /// What is in the pipe now.
    fn taken(reader: &mut PipeReader, lines: &mut Lines<PipeWriter>) -> String {
        lines.write_all(b"end\n").unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"end\n") {
            let mut bytes = [0; 4096];
            let count = reader.read(&mut bytes).unwrap();
            text.extend(&bytes[..count]);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_up_nobody_and_what_was_lost_is_counted() {
        let (mut reader, lines) = lines(LogFormat::Json);
        let mut lines = write_all(lines, (0..5000).map(numbered).collect());
        let lost = lines.lost;
        assert!(lost > 0);
        // Read a part, so that there is room again.
        let mut first = vec![0; 4096 * 4];
        reader.read_exact(&mut first).unwrap();
        let text = String::from_utf8(first).unwrap() + &taken(&mut reader, &mut lines);
        let written: Vec<&str> = text.lines().collect();
        let [whole @ .., notice, "end"] = written.as_slice() else { panic!("{text}") };
        assert_eq!(whole.len() + usize::try_from(lost).unwrap(), 5000);
        for (number, line) in whole.iter().enumerate() {
            assert_eq!(format!("{line}\n").into_bytes(), numbered(number));
        }
        let notice: serde_json::Value = serde_json::from_str(notice).unwrap();
        assert_eq!((&notice["lost"], &notice["level"]), (&lost.into(), &"WARN".into()));
        assert!(notice["timestamp"].as_str().unwrap().starts_with("20"), "{notice}");
        assert_eq!(lines.lost, 0);
    }

    #[test]
    fn a_long_line_is_written_whole_or_ends_where_it_was_cut_off() {
        let (mut reader, lines) = lines(LogFormat::Text);
        let long = |length| [vec![b'y'; length], vec![b'\n']].concat();
        let mut lines = write_all(lines, vec![long(30_000)]);
        assert_eq!(taken(&mut reader, &mut lines).lines().next().unwrap().len(), 30_000);
        let mut lines = write_all(lines, vec![long(300_000), long(10)]);
        assert_eq!(lines.lost, 2);
        let mut first = vec![0; 4096 * 4];
        reader.read_exact(&mut first).unwrap();
        let text = taken(&mut reader, &mut lines);
        let [cut, notice, "end"] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert!(cut.len() < 300_000 && cut.bytes().all(|byte| byte == b'y'));
        assert!(notice.contains(" WARN ") && notice.ends_with("lost=2"), "{notice}");
    }

    #[test]
    fn a_reader_that_has_gone_away_is_no_matter() {
        let (reader, lines) = lines(LogFormat::Text);
        drop(reader);
        assert_eq!(write_all(lines, vec![numbered(0), numbered(1)]).lost, 2);
    }
}
