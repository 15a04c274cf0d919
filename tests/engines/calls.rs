//! What a `call_id` carries: all that the outcome of a calculation needs.

use adrt::engines::context::Risk;
use adrt::protocol::work::{Call, NAME_BYTES_MAX};
use proptest::prelude::*;

use super::any;

#[test]
fn an_id_is_written_like_this() {
    let call = Call { number: 26, risk: Risk::High, q: 0.75, context: Some("a.b".into()) };
    assert_eq!(call.id(), "c1.high.3fe8000000000000.000000000000001a.a.b");
    let bare = Call { context: None, ..call };
    assert_eq!(bare.id(), "c1.high.3fe8000000000000.000000000000001a.");
}

#[test]
fn what_was_not_given_out_is_refused() {
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    for id in [
        "",
        "c1",
        "c1.high",
        "c2.high.3fe8000000000000.1.",
        "c1.grave.3fe8000000000000.1.",
        "c1.high.zz.1.",
        "c1.high.0000000000000000.1.", // 0
        "c1.high.3ff0000000000000.1.", // 1
        "c1.high.7ff8000000000000.1.", // no number
        "c1.high.bfe8000000000000.1.", // below 0
        "c1.high.3fe8000000000000.x.",
        &format!("c1.high.3fe8000000000000.1.{long}"),
    ] {
        assert_eq!(Call::from_id(id), None, "{id}");
    }
}

proptest! {
    #[test]
    fn an_id_reads_back_as_its_call(
        number in any::<u64>(),
        risk in any::risk(),
        q in prop_oneof![0.02..=0.98_f64, Just(f64::MIN_POSITIVE), Just(f64::next_down(1.0))],
        context in proptest::option::of(".{1,40}"),
    ) {
        let call = Call { number, risk, q, context: context.map(Into::into) };
        prop_assert_eq!(Call::from_id(&call.id()), Some(call));
    }

    #[test]
    fn no_id_makes_it_panic(id in r"(c1\.)?(high|low)?[.0-9a-f+é]{0,60}") {
        if let Some(call) = Call::from_id(&id) {
            prop_assert!(call.q > 0.0 && call.q < 1.0);
            prop_assert_eq!(Call::from_id(&call.id()), Some(call), "its own id is the one it has");
        }
    }
}
