//! Messages for tests as nobody should send them, the same in every run.
#![allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "a test that cannot roll its dice cannot go on"
)]

/// Numbers that are the same in every run.
#[derive(Debug)]
pub struct Dice(u64);

impl Default for Dice {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Dice {
    /// A number below `sides`, of which there has to be one at least.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let sides = u64::try_from(sides).expect("an address fits into 64 bits");
        usize::try_from(self.0 % sides).expect("it is less than `sides`")
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).expect("it is less than 256")
    }

    /// A good message, which is not empty, in which something is wrong.
    #[must_use]
    pub fn spoilt(&mut self, good: Vec<u8>) -> Vec<u8> {
        let mut bytes = good;
        let place = self.roll(bytes.len());
        match self.roll(8) {
            0 => bytes.truncate(place),
            1 => bytes[0] ^= 1 << self.roll(3), // another type on the wire
            2 => (0..=self.roll(4)).for_each(|_| {
                let place = self.roll(bytes.len());
                bytes[place] ^= 1 << self.roll(8);
            }),
            3 => bytes[place] = 0xc3, // in a text no UTF-8
            4 => drop(bytes.splice(place..place, [0xff; 10])), // a number that does not end
            5 => drop(bytes.splice(place..place, vec![0x0b; 3000])), // groups within groups
            6 => bytes.rotate_left(place),
            _ => bytes = (0..self.roll(80)).map(|_| self.byte()).collect(),
        }
        bytes
    }
}
