//! Makes a built-in dictionary: the segments of sample frames whose pieces occur in most of the others.

use std::collections::BTreeMap;

use protocol::bytes::put_count;

/// Entries of one sample, about what a busy hour records.
const SAMPLE_ENTRIES: usize = 8;
/// Most samples of each file, evenly spread.
const SAMPLES_MAX: usize = 3000;
/// A piece that is counted, in bytes.
const PIECE_BYTES: usize = 6;
/// A segment that is taken as a whole, in bytes.
const SEGMENT_BYTES: usize = 48;
/// Pieces of a segment.
const SEGMENT_PIECES: usize = SEGMENT_BYTES - PIECE_BYTES + 1;

/// `bytes` of the most common content of the files' entries, the most common last, where offsets are shortest.
pub(crate) fn make(files: &[Vec<Vec<u8>>], bytes: usize) -> Vec<u8> {
    let samples: Vec<Vec<u8>> = files.iter().flat_map(|entries| samples(entries)).collect();
    let mut numbers: BTreeMap<&[u8], usize> = BTreeMap::new();
    // For each sample the number of the piece at each place; for each number in how many samples it occurs.
    let mut places: Vec<Vec<usize>> = Vec::new();
    let mut counts: Vec<u64> = Vec::new();
    for sample in &samples {
        let of_sample: Vec<usize> = sample
            .windows(PIECE_BYTES)
            .map(|piece| {
                let next = numbers.len();
                *numbers.entry(piece).or_insert(next)
            })
            .collect();
        counts.resize(numbers.len(), 0);
        let mut once = of_sample.clone();
        once.sort_unstable();
        once.dedup();
        once.iter().filter_map(|number| counts.get_mut(*number).map(|count| *count += 1)).for_each(drop);
        places.push(of_sample);
    }
    // Ids occur in a sample or two; they must not fill the dictionary.
    let floor = u64::try_from(samples.len() / 500).unwrap_or(u64::MAX);
    counts.iter_mut().filter(|count| **count <= floor).for_each(|count| *count = 0);

    let mut segments: Vec<&[u8]> = Vec::new();
    while segments.len() < bytes / SEGMENT_BYTES {
        let Some((sample, start)) = best_segment(&places, &counts) else { break };
        let taken = places.get(sample).and_then(|places| places.get(start..start + SEGMENT_PIECES)).unwrap_or_default();
        for number in taken {
            counts.get_mut(*number).map(|count| *count = 0).unwrap_or_default();
        }
        segments.extend(samples.get(sample).and_then(|sample| sample.get(start..start + SEGMENT_BYTES)));
    }
    segments.iter().rev().flat_map(|segment| segment.iter().copied()).collect()
}

/// Sample and place of the segment whose pieces occur most, if any occurs at all. The first of equals.
fn best_segment(places: &[Vec<usize>], counts: &[u64]) -> Option<(usize, usize)> {
    let count = |number: &usize| counts.get(*number).copied().unwrap_or(0);
    let mut best = (0, None);
    for (sample, numbers) in places.iter().enumerate() {
        let mut score: u64 = numbers.iter().take(SEGMENT_PIECES).map(count).sum();
        for start in 0..(numbers.len() + 1).saturating_sub(SEGMENT_PIECES) {
            if score > best.0 {
                best = (score, Some((sample, start)));
            }
            score += numbers.get(start + SEGMENT_PIECES).map_or(0, count);
            score -= numbers.get(start).map_or(0, count);
        }
    }
    best.1
}

fn samples(entries: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let step = (entries.len() / SAMPLE_ENTRIES / SAMPLES_MAX).max(1);
    let chunks = entries.chunks(SAMPLE_ENTRIES).step_by(step).take(SAMPLES_MAX);
    chunks.map(plain).collect()
}

/// Entries as a frame holds them.
fn plain(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut plain = Vec::new();
    for entry in entries {
        put_count(&mut plain, entry.len());
        plain.extend_from_slice(entry);
    }
    plain
}
