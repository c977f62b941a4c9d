//! What a generation is being filled with while it is built.

use uuid::Uuid;

use super::Checkpoint;
use crate::codec::{Decoder, Encoder, Malformed};

const FORMAT: u8 = 1;

/// A stride that is being stored in a generation, chunk by chunk: values are there that its checkpoint does not include.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filling {
    /// A random name of the stride: no two are the same, even of the same events.
    pub stride: Uuid,
    /// How many of its chunks are stored.
    pub chunks: u64,
    /// The farthest that any value may be ahead of the checkpoint. Until the generation includes this, it must not be seen, and
    /// the log must still have it: values of a log that went back would never be written again.
    pub farthest: Checkpoint,
}

impl Filling {
    /// A stride of which nothing is stored yet.
    #[must_use]
    pub fn begin(farthest: Checkpoint) -> Self {
        Self { stride: Uuid::now_v7(), chunks: 0, farthest }
    }

    /// The value to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Encoder::new(FORMAT);
        value
            .bytes(self.stride.as_bytes())
            .bytes(&self.chunks.to_be_bytes())
            .bytes(&self.farthest.encode());
        value.finish()
    }

    /// Reads a stored value.
    ///
    /// # Errors
    /// [`Malformed`] for anything that [`Filling::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut value = Decoder::new("filling", bytes, FORMAT)?;
        let stride = Uuid::from_bytes(value.array()?);
        let chunks = u64::from_be_bytes(value.array()?);
        Ok(Self { stride, chunks, farthest: Checkpoint::decode(value.rest())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{hex, refuses_every_cut_and_addition, sample_checkpoint};

    #[test]
    fn the_format_is_held_by_golden_bytes() {
        let farthest = sample_checkpoint(42);
        let filling = Filling { stride: Uuid::from_u128(7), chunks: 258, farthest };
        let golden = "01000000000000000000000000000000070000000000000102";
        assert_eq!(hex(&filling.encode()), format!("{golden}{}", hex(&farthest.encode())));
        assert_eq!(Filling::decode(&filling.encode()), Ok(filling));
        refuses_every_cut_and_addition(&filling.encode(), |bytes| Filling::decode(bytes).is_ok());
    }
}
