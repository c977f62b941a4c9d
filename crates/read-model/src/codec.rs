//! The bytes packed values are made of. One value has one spelling: encoders are deterministic, and decoders refuse
//! every other spelling, so that two generations or a replay of the log can be compared byte for byte.

/// Bytes that are not what was expected, with what was being read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {fault}")]
pub struct Malformed {
    /// The kind of value.
    pub what: &'static str,
    /// What is wrong with it.
    pub fault: &'static str,
}

/// Writes the parts of one value.
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    /// Begins a value with its format byte.
    pub(crate) fn new(format: u8) -> Self {
        let mut bytes = Vec::with_capacity(96);
        bytes.push(format);
        Self(bytes)
    }

    /// Goes on behind a value.
    pub(crate) fn behind(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// 7 bits per byte, lowest first; the top bit says that another byte follows.
    pub(crate) fn unsigned(&mut self, number: u128) -> &mut Self {
        let mut rest = number;
        loop {
            let low = (rest & 0x7f) as u8;
            rest >>= 7;
            if rest == 0 {
                return self.byte(low);
            }
            self.byte(low | 0x80);
        }
    }

    /// Zigzag: 0, -1, 1, -2 ... become 0, 1, 2, 3 ..., so that small numbers of either sign are short.
    pub(crate) fn signed(&mut self, number: i128) -> &mut Self {
        self.unsigned(((number << 1) ^ (number >> 127)).cast_unsigned())
    }

    /// A number that is never negative. What is not is a bug, and becomes a value that no decoder accepts.
    pub(crate) fn natural(&mut self, number: i64) -> &mut Self {
        self.unsigned(u64::try_from(number).map_or(u128::MAX, u128::from))
    }

    /// Its length, then the text.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.unsigned(text.len() as u128).bytes(text.as_bytes())
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads the parts of one value, and refuses what is left over.
pub(crate) struct Decoder<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Begins to read a value, which must be of this format.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8], format: u8) -> Result<Self, Malformed> {
        let mut decoder = Self::without_format(what, bytes);
        if decoder.byte()? == format {
            return Ok(decoder);
        }
        Err(decoder.malformed("unknown format"))
    }

    /// Begins to read a value that has no format of its own.
    pub(crate) fn without_format(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) fn malformed(&self, fault: &'static str) -> Malformed {
        Malformed { what: self.what, fault }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let Some((head, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.malformed("cut short"));
        };
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| self.malformed("cut short"))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn unsigned(&mut self) -> Result<u128, Malformed> {
        let mut number = 0_u128;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(self.malformed("number too large"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                let padded = byte == 0 && shift > 0;
                return if padded { Err(self.malformed("padded number")) } else { Ok(number) };
            }
        }
        Err(self.malformed("number too large"))
    }

    pub(crate) fn signed(&mut self) -> Result<i128, Malformed> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    /// A number of the type asked for.
    pub(crate) fn natural<N: TryFrom<u128>>(&mut self) -> Result<N, Malformed> {
        let number = self.unsigned()?;
        N::try_from(number).map_err(|_| self.malformed("number too large"))
    }

    pub(crate) fn int64(&mut self) -> Result<i64, Malformed> {
        let number = self.signed()?;
        i64::try_from(number).map_err(|_| self.malformed("number too large"))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = self.natural()?;
        let bytes = self.bytes(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("text that is not UTF-8"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Ends the value: nothing may be left over.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("trailing bytes")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_as_they_were_written() {
        for number in [0, 1, -1, 63, 64, -64, -65, i128::from(i64::MIN), i128::MAX, i128::MIN] {
            let mut encoder = Encoder::new(1);
            encoder.signed(number);
            let bytes = encoder.finish();
            let mut decoder = Decoder::new("number", &bytes, 1).unwrap();
            assert_eq!(decoder.signed().unwrap(), number);
            decoder.finish().unwrap();
        }
    }

    #[test]
    fn a_number_has_one_spelling() {
        let read = |bytes: &[u8]| Decoder::new("number", bytes, 1).unwrap().unsigned();
        assert_eq!(read(&[1, 0x80, 0x01]).unwrap(), 128);
        for padded in [&[1, 0x80, 0x00][..], &[1, 0xff, 0x80, 0x00]] {
            assert_eq!(read(padded).unwrap_err().fault, "padded number");
        }
        let mut too_large = vec![1];
        too_large.extend([0xff; 18]);
        too_large.push(0x04);
        assert_eq!(read(&too_large).unwrap_err().fault, "number too large");
        assert_eq!(read(&[1, 0x80]).unwrap_err().fault, "cut short");
    }

    #[test]
    fn other_formats_and_trailing_bytes_are_refused() {
        assert_eq!(Decoder::new("x", &[2], 1).err().unwrap().fault, "unknown format");
        assert_eq!(Decoder::new("x", &[], 1).err().unwrap().fault, "cut short");
        let decoder = Decoder::new("x", &[1, 0], 1).unwrap();
        assert_eq!(decoder.finish().unwrap_err().fault, "trailing bytes");
    }
}
