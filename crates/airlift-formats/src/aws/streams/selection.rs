//! Which blocks a request selects.

use core::fmt;

use super::{Bitmap, GetStream, MAX_BYTES_PER_REQUEST};

/// A block of a file that a request selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub id: u32,
    /// Where it starts in the file, in bytes.
    pub offset: u32,
    /// Its bytes: those of a whole block, except for the last one.
    pub len: u32,
}

/// What becomes of blocks behind the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndOfFile {
    /// They are left out. A request of nothing but such blocks is refused.
    #[default]
    LeaveOut,
    /// A request that selects one is refused, as AWS does.
    Refuse,
}

/// A request selects nothing that there is: [`Rejected::out_of_data`](super::Rejected::out_of_data).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfData;

impl fmt::Display for OutOfData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request selects blocks that the file does not have")
    }
}

impl core::error::Error for OutOfData {}

impl<'a> GetStream<'a> {
    /// The blocks that are selected of a file with `file_size` bytes, in rising order.
    ///
    /// With a bitmap these are the blocks `offset` + k for each bit k that is set, at most `count` of them; without it
    /// `count` blocks from `offset`, and if there is no count either, as many as [`MAX_BYTES_PER_REQUEST`] holds.
    /// What goes beyond so many bytes is left out. Only then it is looked at whether a block is behind the end of the file:
    /// bits behind the last block that is wanted do no harm. The C library sets such bits in each request.
    ///
    /// # Errors
    /// No block is left, or (by `rule`) one of them is behind the end of the file.
    pub fn selected(
        &self,
        file_size: u32,
        rule: EndOfFile,
    ) -> Result<impl Iterator<Item = Block> + Clone + use<'a>, OutOfData> {
        let (size, first) = (self.block_size, self.offset);
        let fit = MAX_BYTES_PER_REQUEST.checked_div(size).unwrap_or(0);
        let (run, bits) = match self.bitmap {
            Some(bitmap) => (0..0, bitmap),
            None => (0..self.count.unwrap_or(fit), Bitmap::new(&[])),
        };
        let most = self.count.map_or(usize::MAX, |count| count as usize);
        let blocks = run.chain(bits.ones()).take(most).map(move |index| {
            let id = first.saturating_add(index);
            let offset = id.saturating_mul(size);
            let len = file_size.saturating_sub(offset).min(size);
            Block { id, offset, len }
        });
        // A block that is not there takes the room of a whole one.
        let blocks = blocks.scan(MAX_BYTES_PER_REQUEST, move |room, block| {
            let taken = if block.len == 0 { size } else { block.len };
            *room = room.checked_sub(taken)?;
            Some(block)
        });
        let mut there = blocks.clone().map(|block| block.len > 0);
        let good = match rule {
            EndOfFile::LeaveOut => there.any(|there| there),
            EndOfFile::Refuse => there.next() == Some(true) && there.all(|there| there),
        };
        if good {
            Ok(blocks.filter(|block| block.len > 0))
        } else {
            Err(OutOfData)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(
        block_size: u32,
        offset: u32,
        bitmap: Option<&[u8]>,
        count: Option<u32>,
    ) -> GetStream<'_> {
        GetStream {
            token: None,
            version: None,
            file: 0,
            block_size,
            offset,
            bitmap: bitmap.map(Bitmap::new),
            count,
        }
    }

    fn ids(request: &GetStream<'_>, file_size: u32, rule: EndOfFile) -> Option<Vec<u32>> {
        let blocks = request.selected(file_size, rule).ok()?;
        Some(blocks.map(|block| block.id).collect())
    }

    #[test]
    fn blocks_follow_each_other_or_are_those_of_the_bitmap() {
        let large = 1 << 24;
        for (request, expected) in [
            (request(4096, 0, None, Some(1)), vec![0]),
            (request(4096, 7, None, Some(3)), vec![7, 8, 9]),
            // As many as 128 KiB are.
            (request(65_536, 3, None, None), vec![3, 4]),
            (request(131_072, 0, None, Some(9)), vec![0]),
            (request(100_000, 0, None, None), vec![0]),
            (request(32_768, 0, None, Some(9)), vec![0, 1, 2, 3]),
            // The example of the documentation, whatever the count is beyond 4.
            (
                request(4096, 20, Some(&[0x13, 0x00, 0x80]), None),
                vec![20, 21, 24, 43],
            ),
            (
                request(4096, 20, Some(&[0x13, 0x00, 0x80]), Some(32)),
                vec![20, 21, 24, 43],
            ),
            (
                request(4096, 20, Some(&[0x13, 0x00, 0x80]), Some(2)),
                vec![20, 21],
            ),
            (
                request(65_536, 20, Some(&[0x13, 0x00, 0x80]), Some(32)),
                vec![20, 21],
            ),
            // What the C library always sends.
            (request(4096, 5, Some(b"MQ=="), Some(1)), vec![5]),
            (request(4096, 5, Some(b"MQ=="), Some(4)), vec![5, 7, 8, 11]),
            (
                request(256, 0, Some(b"MQ=="), Some(31)),
                vec![
                    0, 2, 3, 6, 8, 12, 14, 16, 18, 19, 20, 21, 24, 26, 27, 28, 29,
                ],
            ),
        ] {
            assert_eq!(
                ids(&request, large, EndOfFile::Refuse),
                Some(expected),
                "{request:?}"
            );
        }
    }

    #[test]
    fn behind_the_end_there_is_nothing() {
        for (request, left_out, refused) in [
            // A file of 10 000 bytes has three blocks.
            (
                request(4096, 0, None, Some(3)),
                Some(vec![0, 1, 2]),
                Some(vec![0, 1, 2]),
            ),
            (request(4096, 0, None, Some(4)), Some(vec![0, 1, 2]), None),
            (request(4096, 0, None, None), Some(vec![0, 1, 2]), None),
            (
                request(4096, 2, Some(b"MQ=="), Some(1)),
                Some(vec![2]),
                Some(vec![2]),
            ),
            (
                request(4096, 1, Some(b"MQ=="), Some(4)),
                Some(vec![1]),
                None,
            ),
            (request(4096, 3, None, Some(1)), None, None),
            (request(4096, 98_304, None, Some(98_304)), None, None),
            (
                request(131_072, 98_304, Some(&[0x80; 12_287]), None),
                None,
                None,
            ),
            // Nothing is selected at all.
            (request(4096, 0, None, Some(0)), None, None),
            (request(4096, 0, Some(&[]), Some(1)), None, None),
            (request(4096, 0, Some(&[0, 0]), None), None, None),
        ] {
            assert_eq!(
                ids(&request, 10_000, EndOfFile::LeaveOut),
                left_out,
                "{request:?}"
            );
            assert_eq!(
                ids(&request, 10_000, EndOfFile::Refuse),
                refused,
                "{request:?}"
            );
        }
        // What does not fit into the answer is not looked at.
        let request = request(4096, 0, None, Some(98_304));
        let all: Vec<u32> = (0..32).collect();
        assert_eq!(ids(&request, 131_072, EndOfFile::Refuse), Some(all));
        assert_eq!(
            ids(&request, 131_071, EndOfFile::Refuse).map(|ids| ids.len()),
            Some(32)
        );
        assert_eq!(ids(&request, 0, EndOfFile::LeaveOut), None);
    }

    #[test]
    fn the_last_block_is_a_short_one() {
        let request = request(4096, 1, None, Some(2));
        let blocks: Vec<_> = request.selected(8193, EndOfFile::Refuse).unwrap().collect();
        assert_eq!(
            blocks,
            [
                Block {
                    id: 1,
                    offset: 4096,
                    len: 4096
                },
                Block {
                    id: 2,
                    offset: 8192,
                    len: 1
                },
            ]
        );
    }

    proptest! {
        #[test]
        fn what_is_selected_is_in_the_file_and_fits_into_an_answer(
            block_size in 256..=131_072_u32,
            offset in 0..2000_u32,
            bitmap in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            count in proptest::option::of(0..200_u32),
            file_size in 0..50_000_000_u32,
        ) {
            let request = request(block_size, offset, bitmap.as_deref(), count);
            for rule in [EndOfFile::LeaveOut, EndOfFile::Refuse] {
                let Ok(blocks) = request.selected(file_size, rule) else { continue };
                let blocks: Vec<Block> = blocks.collect();
                prop_assert!(!blocks.is_empty());
                prop_assert!(blocks.is_sorted_by(|a, b| a.id < b.id));
                prop_assert!(blocks.iter().map(|block| block.len).sum::<u32>() <= MAX_BYTES_PER_REQUEST);
                prop_assert!(blocks.len() <= count.unwrap_or(u32::MAX) as usize);
                for block in blocks {
                    prop_assert_eq!(block.offset, block.id * block_size);
                    prop_assert_eq!(block.len, block_size.min(file_size - block.offset));
                    prop_assert!(block.len > 0);
                    if let Some(bitmap) = &bitmap {
                        let bit = block.id - offset;
                        prop_assert_eq!(bitmap[bit as usize / 8] >> (bit % 8) & 1, 1);
                    }
                }
            }
        }
    }
}
