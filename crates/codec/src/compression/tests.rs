use super::*;
use proptest::prelude::*;

/// Bytes that pack like records: words from a short list, and some that do not repeat.
fn record_like(length: usize, seed: u64) -> Vec<u8> {
    const WORDS: [&str; 8] = ["tablet", "Paracetamol 500 mg", "stock_out", "B012345", "sg", "fn", "counted", "item"];
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut bytes = Vec::with_capacity(length + 32);
    while bytes.len() < length {
        bytes.extend_from_slice(WORDS[usize::try_from(next() % 8).unwrap()].as_bytes());
        bytes.extend_from_slice(&next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

const EVERY: [Dictionary; 3] = [Dictionary::None, Dictionary::BuiltIn(BUILT_IN_LATEST), Dictionary::Previous];

#[test]
fn what_was_packed_comes_back_with_each_dictionary() {
    let mut codec = ZstdCodec::default();
    let previous = record_like(300_000, 1);
    for plain in [Vec::new(), record_like(1, 2), record_like(30_000, 2), record_like(limits::FRAME_PLAIN_BYTES_MAX, 3)]
    {
        for dictionary in EVERY {
            let packed = codec.compress(dictionary, &previous, &plain).unwrap();

            assert_eq!(codec.decompress(dictionary, &previous, &packed, plain.len()), Ok(plain.clone()));
        }
    }
}

#[test]
fn equal_input_gives_equal_output_wherever_the_bytes_lie() {
    let together = record_like(200_000, 1);
    let (previous, plain) = together.split_at(150_000);
    let (previous_elsewhere, plain_elsewhere) = (previous.to_vec(), plain.to_vec());
    let apart = ZstdCodec::default().compress(Dictionary::Previous, &previous_elsewhere, &plain_elsewhere).unwrap();

    let mut codec = ZstdCodec::default();
    codec.compress(Dictionary::None, &[], &record_like(90_000, 9)).unwrap();

    assert_eq!(codec.compress(Dictionary::Previous, previous, plain).unwrap(), apart);
}

#[test]
fn previous_bytes_make_a_repeat_small() {
    let mut codec = ZstdCodec::default();
    let previous = record_like(limits::DICTIONARY_BYTES_MAX, 1);

    // A copy: zstd takes a dictionary that overlaps the plain bytes in memory for overwritten.
    let plain = previous[1000..31_000].to_vec();
    let packed = codec.compress(Dictionary::Previous, &previous, &plain).unwrap();

    assert!(packed.len() < 40, "{} bytes", packed.len());
}

#[test]
fn only_the_last_previous_bytes_count() {
    let mut codec = ZstdCodec::default();
    let plain = record_like(20_000, 1);
    let long = record_like(limits::DICTIONARY_BYTES_MAX + 50_000, 2);

    let packed = codec.compress(Dictionary::Previous, &long, &plain).unwrap();

    assert_eq!(codec.decompress(Dictionary::Previous, &long[50_000..], &packed, plain.len()), Ok(plain));
}

#[test]
fn previous_bytes_that_look_like_a_trained_dictionary_are_content() {
    let mut codec = ZstdCodec::default();
    let mut previous = vec![0x37, 0xa4, 0x30, 0xec];
    previous.extend_from_slice(&record_like(10_000, 1));
    let plain = record_like(12_000, 1);

    let packed = codec.compress(Dictionary::Previous, &previous, &plain).unwrap();

    assert_eq!(codec.decompress(Dictionary::Previous, &previous, &packed, plain.len()), Ok(plain));
}

#[test]
fn another_length_is_refused() {
    let mut codec = ZstdCodec::default();
    let plain = record_like(5_000, 1);
    let packed = codec.compress(Dictionary::None, &[], &plain).unwrap();
    for announced in [0, 1, 4_999, 5_001, limits::FRAME_PLAIN_BYTES_MAX, usize::MAX] {
        assert!(codec.decompress(Dictionary::None, &[], &packed, announced).is_err(), "{announced}");
    }
}

#[test]
fn cut_bytes_and_bytes_behind_are_refused() {
    let mut codec = ZstdCodec::default();
    let plain = record_like(5_000, 1);
    let packed = codec.compress(Dictionary::None, &[], &plain).unwrap();
    for length in 0..packed.len() {
        assert!(codec.decompress(Dictionary::None, &[], &packed[..length], plain.len()).is_err(), "{length}");
    }
    let mut longer = packed;
    longer.push(0);
    assert!(codec.decompress(Dictionary::None, &[], &longer, plain.len()).is_err());
}

#[test]
fn other_previous_bytes_never_give_the_plain_ones() {
    let mut codec = ZstdCodec::default();
    let previous = record_like(100_000, 1);
    let plain = [record_like(2_000, 7).as_slice(), &previous[60_000..80_000]].concat();
    let packed = codec.compress(Dictionary::Previous, &previous, &plain).unwrap();
    for other in [Vec::new(), record_like(100_000, 2), previous[..99_999].to_vec()] {
        assert!(codec.decompress(Dictionary::Previous, &other, &packed, plain.len()) != Ok(plain.clone()));
    }
}

#[test]
fn a_dictionary_that_is_not_there_is_refused() {
    let mut codec = ZstdCodec::default();
    let unknown = Dictionary::BuiltIn(BUILT_IN_LATEST + 1);
    assert!(codec.compress(unknown, &[], b"plain").is_err());
    assert!(codec.decompress(unknown, &[], b"packed", 5).is_err());
}

#[test]
fn more_than_a_page_is_refused_before_memory_is_taken() {
    assert!(ZstdCodec::default().compress(Dictionary::None, &[], &vec![0; PLAIN_BYTES_MAX + 1]).is_err());
    assert!(ZstdCodec::default().decompress(Dictionary::None, &[], &[], PLAIN_BYTES_MAX + 1).is_err());
}

#[test]
fn a_bomb_is_refused_and_takes_no_memory_beyond_its_announced_length() {
    let mut codec = ZstdCodec::default();
    // One run-length block of 128 KiB in 6 bytes, a hundred of them, with the largest window that is allowed.
    let mut bomb = vec![0x00, (21 - 10) << 3];
    for index in 0..100 {
        let header = (128 * 1024) << 3 | 1 << 1 | u32::from(index == 99);
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(b'x');
    }
    for announced in [0, 1000, limits::FRAME_PLAIN_BYTES_MAX] {
        assert!(codec.decompress(Dictionary::None, &[], &bomb, announced).is_err(), "{announced}");
    }
    assert!(codec.context_bytes_peak() < 256 * 1024, "{} bytes", codec.context_bytes_peak());
}

#[test]
fn a_window_takes_no_memory_and_one_above_the_limit_is_refused_on_every_machine() {
    let mut codec = ZstdCodec::default();
    let mut unpacked = |window: u8| {
        // One run-length block of five bytes.
        let header: u32 = 5 << 3 | 1 << 1 | 1;
        let mut packed = vec![0x00, window];
        packed.extend_from_slice(&header.to_le_bytes()[..3]);
        packed.push(b'x');
        codec.decompress(Dictionary::None, &[], &packed, 5)
    };
    let log = |log: u8| (log - 10) << 3;

    assert_eq!(unpacked(log(21)), Ok(b"xxxxx".to_vec()));
    // 30 is as far as zstd goes on a machine of 32 bit, 31 on one of 64, and 41 is the largest that can be written.
    for window in [log(21) + 1, log(22), log(30), log(31), log(41) + 7] {
        assert!(unpacked(window).is_err(), "{window}");
    }
    assert!(codec.context_bytes_peak() < 256 * 1024, "{} bytes", codec.context_bytes_peak());
}

#[test]
fn contexts_stay_within_their_memory_for_the_largest_frames() {
    let mut codec = ZstdCodec::default();
    let previous = record_like(limits::DICTIONARY_BYTES_MAX, 1);
    for plain_bytes in [limits::FRAME_PLAIN_BYTES_TARGET_MAX, limits::RECORD_BYTES_MAX, PLAIN_BYTES_MAX] {
        let plain = record_like(plain_bytes, 2);
        let packed = codec.compress(Dictionary::Previous, &previous, &plain).unwrap();
        codec.decompress(Dictionary::Previous, &previous, &packed, plain.len()).unwrap();

        assert!(codec.context_bytes_peak() <= CONTEXT_BYTES_MAX, "{} bytes", codec.context_bytes_peak());
    }
}

#[test]
fn unpacking_takes_little_memory() {
    let plain = record_like(PLAIN_BYTES_MAX, 2);
    let packed = ZstdCodec::default().compress(Dictionary::None, &[], &plain).unwrap();
    let mut codec = ZstdCodec::default();

    codec.decompress(Dictionary::None, &[], &packed, plain.len()).unwrap();

    assert!(codec.context_bytes_peak() < 256 * 1024, "{} bytes", codec.context_bytes_peak());
}

proptest! {
    #[test]
    fn anything_comes_back(previous: Vec<u8>, plain: Vec<u8>, dictionary in proptest::sample::select(EVERY.to_vec())) {
        let mut codec = ZstdCodec::default();
        let packed = codec.compress(dictionary, &previous, &plain).unwrap();
        prop_assert_eq!(codec.decompress(dictionary, &previous, &packed, plain.len()), Ok(plain));
    }

    #[test]
    fn rubbish_never_panics(previous: Vec<u8>, packed: Vec<u8>, announced in 0_usize..10_000) {
        for dictionary in EVERY {
            let _ = ZstdCodec::default().decompress(dictionary, &previous, &packed, announced);
        }
    }

    #[test]
    fn altered_bytes_never_panic_and_never_give_another_length(at in 0_usize..1_000, value: u8) {
        let mut codec = ZstdCodec::default();
        let (previous, plain) = (record_like(50_000, 1), record_like(4_000, 2));
        let mut packed = codec.compress(Dictionary::Previous, &previous, &plain).unwrap();
        let at = at % packed.len();
        packed[at] ^= value;
        if let Ok(found) = codec.decompress(Dictionary::Previous, &previous, &packed, plain.len()) {
            prop_assert_eq!(found.len(), plain.len());
        }
    }
}
