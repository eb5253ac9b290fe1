//! Parquet's RLE / bit-packing hybrid: small numbers as runs of one value and as groups of eight packed bits. Runs shorter
//! than it takes to pay for leaving a group are packed.

/// Equal values that make a run.
const RUN_MIN: usize = 16;
/// Values of a packed group.
const GROUP: usize = 8;

/// Bits that numbers below `count` need.
pub(crate) fn width(count: usize) -> u8 {
    (usize::BITS - count.saturating_sub(1).leading_zeros()) as u8
}

/// Appends `values`, each of them below `1 << width`.
pub(crate) fn push(values: &[u32], width: u8, out: &mut Vec<u8>) {
    let (mut packed_from, mut at) = (0, 0);
    while at < values.len() {
        let value = values[at];
        let run = values[at..].iter().take_while(|&&other| other == value).count();
        // A run can only begin where a group ends: its first values may have to fill one.
        let fill = (at - packed_from).next_multiple_of(GROUP) - (at - packed_from);
        if run >= RUN_MIN + fill {
            push_packed(&values[packed_from..at + fill], width, out);
            push_run(value, run - fill, width, out);
            packed_from = at + run;
        }
        at += run;
    }
    push_packed(&values[packed_from..], width, out);
}

/// Appends a run of one value.
pub(crate) fn push_run(value: u32, count: usize, width: u8, out: &mut Vec<u8>) {
    push_varint((count as u64) << 1, out);
    out.extend_from_slice(&value.to_le_bytes()[..usize::from(width.div_ceil(8))]);
}

fn push_packed(values: &[u32], width: u8, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(GROUP);
    push_varint((groups as u64) << 1 | 1, out);
    let (mut bits, mut held) = (0_u64, 0_u32);
    let filled = values.iter().copied().chain(std::iter::repeat_n(0, groups * GROUP - values.len()));
    for value in filled {
        bits |= u64::from(value) << held;
        held += u32::from(width);
        if held >= 32 {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= 32;
            held -= 32;
        }
    }
    out.extend_from_slice(&(bits as u32).to_le_bytes()[..held.div_ceil(8) as usize]);
}

fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_as_many_as_needed() {
        assert_eq!([0, 1, 2, 3, 4, 5, 256, 257].map(width), [0, 0, 1, 2, 2, 3, 8, 9]);
    }

    #[test]
    fn the_format_documents_own_example() {
        // 0 to 7 in three bits each: 10001000 11000110 11111010 after the header of one group.
        let mut out = Vec::new();
        push(&[0, 1, 2, 3, 4, 5, 6, 7], 3, &mut out);
        assert_eq!(out, [0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
    }

    #[test]
    fn long_runs_are_runs_and_begin_at_a_groups_end() {
        let mut out = Vec::new();
        push(&[7; 100], 3, &mut out);
        assert_eq!(out, [200, 1, 7]);
        let mut values = vec![1];
        values.extend([0; 30]);
        out.clear();
        push(&values, 1, &mut out);
        assert_eq!(out, [0b11, 0b0000_0001, 23 << 1, 0], "seven of the run fill the first group");
    }
}
