//! What a user is told when something did not work, and with which exit code.

mod advice;
mod refusal;

use std::{fmt::Display, process::ExitCode};

use crate::output::out;

pub(crate) use refusal::Refusal;

/// Why a sub-command did not do what it was asked to.
pub(crate) struct Failure {
    kind: Kind,
    exit_code: u8,
    /// Say it as JSON on standard output.
    is_json: bool,
}

enum Kind {
    /// A service answered with an error, or could not be asked.
    Refused(Box<Refusal>),
    /// Everything else, with its causes.
    Other(anyhow::Error),
    /// It has been said already.
    Reported,
}

/// Refused, not found, or a difference was found.
pub(crate) const REFUSED: u8 = 1;
/// The command line or the request is malformed.
pub(crate) const USAGE: u8 = 2;
/// Something needed is not there, or a command was not decided, or its outcome is not known.
pub(crate) const UNAVAILABLE: u8 = 3;

impl Failure {
    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(Kind::Other(anyhow::anyhow!("{message}")), USAGE)
    }

    /// What was given on the command line cannot be used.
    pub(crate) fn usage_of(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Kind::Other(error.into()), USAGE)
    }

    /// What was given is refused.
    pub(crate) fn refused(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Kind::Other(error.into()), REFUSED)
    }

    /// Something needed is not there.
    pub(crate) fn other(error: impl Into<anyhow::Error>) -> Self {
        Self::new(Kind::Other(error.into()), UNAVAILABLE)
    }

    /// A command was not decided, or it is not known whether it was.
    pub(crate) fn undecided(refusal: Refusal) -> Self {
        Self::new(Kind::Refused(Box::new(refusal)), UNAVAILABLE)
    }

    /// Everything was said while it happened.
    pub(crate) fn reported(exit_code: u8) -> Self {
        Self::new(Kind::Reported, exit_code)
    }

    fn new(kind: Kind, exit_code: u8) -> Self {
        Self { kind, exit_code, is_json: false }
    }

    /// Says it as JSON if the sub-command was asked for JSON.
    pub(crate) fn in_json(self, is_json: bool) -> Self {
        Self { is_json, ..self }
    }

    /// What a service said, to add to it.
    pub(crate) fn refusal_mut(&mut self) -> Option<&mut Refusal> {
        match &mut self.kind {
            Kind::Refused(refusal) => Some(refusal),
            Kind::Other(_) | Kind::Reported => None,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Says what went wrong; the exit code of the process.
    pub(crate) fn report(&self) -> ExitCode {
        match (&self.kind, self.is_json) {
            (Kind::Reported, _) => {}
            (Kind::Refused(refusal), true) => out!("{:#}\n", refusal.json()),
            (Kind::Refused(refusal), false) => eprint!("{refusal}"),
            (Kind::Other(error), true) => {
                let error = serde_json::json!({ "error": { "message": format!("{error:#}") } });
                out!("{error:#}\n");
            }
            (Kind::Other(error), false) => eprintln!("error: {error:#}"),
        }
        ExitCode::from(self.exit_code)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let exit_code = refusal.exit_code();
        Self::new(Kind::Refused(Box::new(refusal)), exit_code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::other(error)
    }
}
