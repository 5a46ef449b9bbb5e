use proptest::prelude::*;

use super::*;
use crate::QueryAdapter;

fn provenance() -> Provenance {
    Provenance { model: "mini".to_owned(), seed: 0, origin: "judgements of law".to_owned() }
}

fn adapter(parts: AdapterParts) -> ClosedFormAdapter {
    ClosedFormAdapter::new(2, parts, provenance()).unwrap()
}

fn whitened(values: [f32; 4]) -> AdapterParts {
    AdapterParts { whitening: Some(values.to_vec()), ..AdapterParts::default() }
}

#[test]
fn parts_are_added_in_their_order() {
    let half = std::f32::consts::FRAC_1_SQRT_2;
    let turn = adapter(whitened([0.0, 1.0, 3.0, 0.0]));
    assert_eq!(turn.apply(&[1.0, 0.0]).unwrap(), [0.0, 1.0]);
    // W maps the first axis onto the second.
    let ridge = Some(Weighted { part: vec![0.0, 0.0, 1.0, 0.0], weight: 1.0 });
    let bent = adapter(AdapterParts { ridge: ridge.clone(), ..AdapterParts::default() });
    assert_eq!(bent.apply(&[2.0, 0.0]).unwrap(), [half, half]);
    assert_eq!(bent.apply(&[0.0, 1.0]).unwrap(), [0.0, 1.0]);
    let part = KernelMemory::new(vec![1.0, 0.0], vec![0.0, -1.0], 2, 0.1).unwrap();
    let memory = Some(Weighted { part, weight: 1.0 });
    let undone = adapter(AdapterParts { whitening: None, ridge, memory });
    assert_eq!(undone.apply(&[1.0, 0.0]).unwrap(), [1.0, 0.0]);
    let halfway = turn.with_blend(0.5).unwrap();
    assert_eq!(halfway.apply(&[1.0, 0.0]).unwrap(), [half, half]);
    assert_eq!(halfway.with_blend(0.0).unwrap().apply(&[1.0, 0.0]).unwrap(), [1.0, 0.0]);
}

#[test]
fn refuses_what_does_not_fit() {
    let new = |parts| ClosedFormAdapter::new(2, parts, provenance()).unwrap_err();
    assert!(matches!(
        new(AdapterParts { whitening: Some(vec![1.0; 3]), ..AdapterParts::default() }),
        Error::SizeMismatch { .. }
    ));
    assert!(matches!(new(whitened([f32::NAN; 4])), Error::NotFinite { .. }));
    let ridge = Some(Weighted { part: vec![0.0; 4], weight: f32::NAN });
    assert!(matches!(new(AdapterParts { ridge, ..AdapterParts::default() }), Error::Setting { .. }));
    let part = KernelMemory::new(vec![1.0], vec![1.0], 1, 0.1).unwrap();
    let memory = Some(Weighted { part, weight: 1.0 });
    assert!(matches!(new(AdapterParts { memory, ..AdapterParts::default() }), Error::SizeMismatch { .. }));
    assert!(matches!(ClosedFormAdapter::identity(0, provenance()), Err(Error::Setting { .. })));
    assert!(matches!(ClosedFormAdapter::identity(usize::MAX, provenance()), Err(Error::Setting { .. })));

    let identity = ClosedFormAdapter::identity(2, provenance()).unwrap();
    assert!(matches!(identity.apply(&[1.0]), Err(Error::SizeMismatch { expected: 2, received: 1, .. })));
    assert!(matches!(identity.apply(&[0.0, 0.0]), Err(Error::NoDirection { row: 0, .. })));
    assert!(matches!(identity.apply(&[f32::NAN, 0.0]), Err(Error::NoDirection { .. })));
    assert!(matches!(adapter(whitened([0.0; 4])).apply(&[1.0, 0.0]), Err(Error::NoDirection { .. })));
    assert!(matches!(identity.expect_use("other", 2), Err(Error::OtherModel { .. })));
    assert!(matches!(identity.expect_use("mini", 3), Err(Error::SizeMismatch { .. })));
    assert!(identity.expect_use("mini", 2).is_ok());
    for blend in [-0.1, 1.1, f32::NAN] {
        assert!(matches!(identity.clone().with_blend(blend), Err(Error::Setting { .. })));
    }
    assert!(matches!(QueryAdapter::from_bytes(&identity.to_bytes()), Err(Error::OtherKind { .. })));
}

#[test]
fn a_header_that_its_values_do_not_fill_is_refused() {
    let header = |dimensions, whitening, rows, temperature| Header {
        dimensions,
        blend: 1.0,
        whitening,
        ridge_weight: None,
        memory: Some(MemoryHeader { rows, temperature, weight: 1.0 }),
        provenance: provenance(),
    };
    let read = |header: &Header| ClosedFormAdapter::from_bytes(&container::pack(KIND, header, &[&[0.5; 8]]));
    assert!(read(&header(2, true, 1, 0.1)).is_ok());
    for wrong in [
        header(2, true, 2, 0.1),
        header(2, false, 1, 0.1),
        header(2, true, 1, 0.0),
        header(0, true, 1, 0.1),
        header(usize::MAX, true, 1, 0.1),
        header(2, true, usize::MAX, 0.1),
        Header { blend: 1.5, ..header(2, true, 1, 0.1) },
    ] {
        assert!(matches!(read(&wrong), Err(Error::Damaged { .. })));
    }
}

fn adapters() -> impl Strategy<Value = ClosedFormAdapter> {
    let present = (any::<bool>(), any::<bool>(), 0_usize..4);
    (1_usize..5, present, 0.0_f32..=1.0, 0.01_f32..1.0, any::<u64>()).prop_map(
        |(dimensions, (whitening, ridge, rows), blend, temperature, seed)| {
            let mut random = crate::numeric::SplitMix64::new(seed);
            let mut values = |count: usize| (0..count).map(|_| random.normal() as f32).collect::<Vec<f32>>();
            let parts = AdapterParts {
                whitening: whitening.then(|| values(dimensions * dimensions)),
                ridge: ridge.then(|| Weighted { part: values(dimensions * dimensions), weight: 0.5 }),
                memory: (rows > 0).then(|| {
                    let keys = values(rows * dimensions);
                    let keys = keys.chunks(dimensions).flat_map(|key| unit(key.to_vec(), 0).unwrap()).collect();
                    let part = KernelMemory::new(keys, values(rows * dimensions), dimensions, temperature).unwrap();
                    Weighted { part, weight: 2.0 }
                }),
            };
            ClosedFormAdapter::new(dimensions, parts, provenance()).unwrap().with_blend(blend).unwrap()
        },
    )
}

proptest! {
    #[test]
    fn bytes_bring_the_adapter_back(adapter in adapters()) {
        let again = ClosedFormAdapter::from_bytes(&adapter.to_bytes()).unwrap();
        prop_assert_eq!(again.fingerprint(), adapter.fingerprint());
        prop_assert_eq!(again, adapter);
    }

    #[test]
    fn no_changed_byte_is_taken(adapter in adapters(), change in 1_u8..) {
        let whole = adapter.to_bytes();
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= change;
            prop_assert!(ClosedFormAdapter::from_bytes(&bytes).is_err(), "byte {position}");
            prop_assert!(ClosedFormAdapter::from_bytes(&whole[..position]).is_err(), "up to {position}");
        }
    }

    #[test]
    fn without_parts_queries_only_get_unit_length(query in prop::collection::vec(-1.0_f32..1.0, 1..8), blend in 0.0_f32..=1.0) {
        prop_assume!(query.iter().any(|value| value.abs() > 0.01));
        let identity = ClosedFormAdapter::identity(query.len(), provenance()).unwrap().with_blend(blend).unwrap();
        prop_assert_eq!(identity.apply(&query).unwrap(), unit(query, 0).unwrap());
    }

    #[test]
    fn rows_are_adapted_as_if_alone_and_come_out_at_unit_length(adapter in adapters(), seed: u64) {
        let mut random = crate::numeric::SplitMix64::new(seed);
        let values: Vec<f32> = (0..3 * adapter.dimensions()).map(|_| random.normal() as f32).collect();
        let rows = Rows::new(&values, adapter.dimensions()).unwrap();
        let Ok(together) = adapter.apply_rows(rows) else { return Ok(()) };
        let alone: Vec<f32> = rows.iter().flat_map(|row| adapter.apply(row).unwrap()).collect();
        prop_assert_eq!(&together, &alone);
        for row in together.chunks(adapter.dimensions()) {
            prop_assert!((dot(row, row) - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn the_fingerprint_knows_the_blend(adapter in adapters(), blend in 0.0_f32..=1.0) {
        let other = adapter.clone().with_blend(blend).unwrap();
        prop_assert_eq!(other.fingerprint() == adapter.fingerprint(), blend == adapter.blend());
    }
}
