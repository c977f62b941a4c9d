//! Free text that comes with a command.

/// 1 to 256 bytes of text without control characters: a reference, a counterparty, a payee.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text(Box<str>);

/// The text is empty, too long or has control characters in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {max} bytes without control characters", max = Text::BYTES_MAX)]
pub struct TextInvalid;

impl Text {
    /// Longest text, in bytes. Every row of the log and every line of a statement may carry two.
    pub const BYTES_MAX: usize = 256;

    /// Checks the text.
    ///
    /// # Errors
    /// [`TextInvalid`] when it is empty, too long, or has control characters.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, TextInvalid> {
        let text = text.into();
        if text.is_empty() || text.len() > Self::BYTES_MAX || text.chars().any(char::is_control) {
            return Err(TextInvalid);
        }
        Ok(Self(text))
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_short_and_without_control_characters() {
        assert!(Text::new("rent for June, Žižkov").is_ok());
        assert!(Text::new("x".repeat(256)).is_ok());
        for bad in ["", "a\nb", "a\0b", "a\u{7f}b", "a\u{85}b", &"x".repeat(257)] {
            assert_eq!(Text::new(bad), Err(TextInvalid), "{bad:?}");
        }
    }
}
