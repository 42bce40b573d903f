//! A block of a run or a page of its filter: bytes behind a checksum (CRC32C, u32) of their run, of their place in its
//! file and of themselves. Without run and place, one that the disk takes for another would do: it would answer that
//! a used id is fresh.

/// Bytes of the checksum.
pub const CHECKSUM_BYTES: usize = size_of::<u32>();

/// What the checksums of a run's pieces begin with: [`RunName::mark`](super::run::RunName::mark).
pub type RunMark = u32;

fn checksum(body: &[u8], run: RunMark, offset: u64) -> [u8; CHECKSUM_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c_append(run, &offset.to_le_bytes()), body).to_le_bytes()
}

/// Puts the checksum in front of the piece, which begins at `offset` in its file and has room for it.
pub fn seal(piece: &mut [u8], run: RunMark, offset: u64) {
    if let Some((place, body)) = piece.split_first_chunk_mut() {
        *place = checksum(body, run, offset);
    }
}

/// What stands behind the checksum; `None` when it is not what was sealed for this place.
pub fn open(piece: &[u8], run: RunMark, offset: u64) -> Option<&[u8]> {
    let (found, body) = piece.split_first_chunk()?;
    (*found == checksum(body, run, offset)).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_opens_unchanged_and_in_its_place_alone() {
        let mut piece = *b"\0\0\0\0what it holds";
        seal(&mut piece, 7, 4_096);
        assert_eq!(open(&piece, 7, 4_096), Some(&b"what it holds"[..]));
        assert_eq!(open(&piece, 7, 8_192), None);
        assert_eq!(open(&piece, 8, 4_096), None);
        assert_eq!(open(&piece[..piece.len() - 1], 7, 4_096), None);
        assert_eq!(open(&piece[..CHECKSUM_BYTES - 1], 7, 4_096), None);
        for bit in 0..piece.len() * 8 {
            piece[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&piece, 7, 4_096), None, "bit {bit}");
            piece[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
