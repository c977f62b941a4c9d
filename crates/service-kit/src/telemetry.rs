//! Log lines on standard error: text for people or flat JSON for machines.

mod lines;

use std::backtrace::Backtrace;
use std::io::{self, IsTerminal};
use std::panic;
use std::sync::{Mutex, Once};

use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogArgs, LogFormat};

use lines::Lines;

static INSTALLED: Once = Once::new();

/// Why no log can be written.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `LOG_FILTER` is not a list of directives.
    #[error("read the log filter {filter:?}")]
    Filter {
        /// The setting as given.
        filter: String,
        /// What is wrong with it.
        #[source]
        cause: ParseError,
    },
}

/// Installs the process's log. The first call decides; a later one does nothing, because many
/// tests in one process each start a service.
///
/// # Errors
/// The filter cannot be read; nothing is installed then.
pub fn init(args: &LogArgs) -> Result<(), TelemetryError> {
    let writer = Mutex::new(Lines::new(io::stderr(), args.log_format));
    let subscriber = subscriber(args, writer, io::stderr().is_terminal())?;
    INSTALLED.call_once(|| {
        // Also routes the `log` crate's records, which the database clients write.
        if subscriber.try_init().is_ok() && args.log_format == LogFormat::Json {
            log_panics();
        }
    });
    Ok(())
}

/// What `init` installs, with a writer that a test can read back.
fn subscriber<W>(
    args: &LogArgs,
    writer: W,
    colors: bool,
) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&args.log_filter)
        .map_err(|cause| TelemetryError::Filter { filter: args.log_filter.clone(), cause })?;
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match args.log_format {
        LogFormat::Text => fmt::layer().with_writer(writer).with_ansi(colors).boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .with_writer(writer)
            .boxed(),
    };
    Ok(tracing_subscriber::registry().with(lines.with_filter(filter)))
}

/// A panic becomes one JSON line like everything else; the default prints several lines of text.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let backtrace = Backtrace::capture();
        tracing::error!(
            panic.message = panic.payload_as_str().unwrap_or("(not text)"),
            panic.location = location.as_deref(),
            panic.backtrace = %backtrace,
            "panicked"
        );
    }));
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, events: impl FnOnce()) -> String {
        let lines = Kept::default();
        let args = LogArgs { log_format: format, log_filter: filter.to_owned() };
        let writer = lines.clone();
        let subscriber = subscriber(&args, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, events);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let text = logged(LogFormat::Json, "info", || {
            tracing::info!(account.id = "alice", position = 7, "appended");
        });
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert_eq!(line["message"], "appended");
        assert_eq!(line["account.id"], "alice");
        assert_eq!(line["position"], 7);
        assert_eq!(line["level"], "INFO");
        assert!(line.get("fields").is_none(), "{line}");
    }

    #[test]
    fn a_text_line_has_no_colors_when_it_goes_to_a_file() {
        let text = logged(LogFormat::Text, "info", || tracing::info!(position = 7, "appended"));
        assert!(text.contains("appended position=7"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn the_filter_decides_what_is_written() {
        let events = || {
            tracing::debug!("quiet");
            tracing::warn!("loud");
        };
        let text = logged(LogFormat::Text, "warn", events);
        assert!(text.contains("loud") && !text.contains("quiet"), "{text}");
    }

    #[test]
    fn installing_twice_is_installing_once() {
        let args = LogArgs { log_format: LogFormat::Text, log_filter: "off".to_owned() };
        init(&args).unwrap();
        init(&args).unwrap();
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named_in_the_error() {
        let args = LogArgs { log_format: LogFormat::Text, log_filter: "a=b=c".to_owned() };
        let error = init(&args).unwrap_err();
        assert!(error.to_string().contains("a=b=c"), "{error}");
    }
}
