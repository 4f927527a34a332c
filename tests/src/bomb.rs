//! Little that unpacks to much, made by hand, for the harness has no packer.

/// So many zeros as gzip: one of them, then copies of 258 bytes of what came before. The checksum is wrong; whoever reads so
/// far has read too much.
pub fn gzip(zeros: usize) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Bits::default();
    // One block of fixed codes: a zero, then copies of 258 bytes at distance 1.
    bits.push(0b1, 1);
    bits.push(0b01, 2);
    bits.code(0b0011_0000, 8);
    for _ in 0..zeros / 258 {
        bits.code(0b1100_0101, 8);
        bits.code(0, 5);
    }
    bits.code(0, 7);
    file.extend(bits.bytes());
    file.extend([0; 8]);
    file
}

#[derive(Debug, Default)]
struct Bits {
    done: Vec<u8>,
    open: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, value: u32, bits: u32) {
        self.open |= value << self.count;
        self.count += bits;
        while self.count >= 8 {
            self.done.push((self.open & 0xff) as u8);
            self.open >>= 8;
            self.count -= 8;
        }
    }

    /// Codes are packed from their highest bit.
    fn code(&mut self, value: u32, bits: u32) {
        self.push(value.reverse_bits() >> (32 - bits), bits);
    }

    fn bytes(mut self) -> Vec<u8> {
        self.push(0, 7);
        self.done
    }
}
