//! Policies: what is taken means one thing, and what is not lets nobody in.

use std::net::Ipv6Addr;

use ossia_protocol::policy::{
    Ask, Conditions, Effect, Policy, PolicyKind, Resource, Subject, Verdict,
};

const KINDS: [PolicyKind; 4] =
    [PolicyKind::Identity, PolicyKind::Session, PolicyKind::Bucket, PolicyKind::Trust];

/// A byte that chooses, what is asked for in one line, then the document.
pub(crate) fn run(data: &[u8]) {
    let [choice, rest @ ..] = data else { return };
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let asked = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let Ok(text) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return };
    let kind = KINDS[usize::from(choice % 4)];
    let mut words = asked.split('\t');
    let mut word = || words.next().unwrap_or_default();
    let (action, resource, value) = (word(), word(), word());
    let tags = vec![("t".to_owned(), value.to_owned())];
    let conditions = Conditions {
        source_ip: Some(Ipv6Addr::from(u128::from(*choice) << 96).into()),
        secure: choice & 4 != 0,
        user_agent: Some(value.into()),
        now: i64::from(*choice) << 24,
        prefix: Some(value.into()),
        request_tags: tags.into(),
        ..Conditions::default()
    };
    let ask = Ask { action, resource: Resource::new(resource), conditions: &conditions };
    let subject = match choice >> 6 {
        0 => Subject::Account,
        1 => Subject::User { id: value, name: value },
        2 => Subject::Session { role: value, session: value },
        _ => Subject::Anonymous,
    };
    let verdict =
        |policy: &Policy| policy.evaluate(&ask, |statement| statement.names(subject, "1234"));
    let stored = Policy::of_stored(text, kind);
    assert_eq!(stored.text(), text);
    let told = verdict(&stored);
    match Policy::parse(text, kind) {
        Ok(policy) => {
            assert_eq!(policy, stored);
            assert_eq!(
                verdict(&policy),
                told,
                "the same text means another thing when it was stored"
            );
            let effect = |at: usize| policy.statements()[at].effect();
            match told {
                Verdict::Denied(at) => assert_eq!(effect(at), Effect::Deny),
                Verdict::Allowed(at) => assert_eq!(effect(at), Effect::Allow),
                Verdict::Silent => {}
            }
            if kind == PolicyKind::Bucket
                && subject == Subject::Anonymous
                && let Verdict::Allowed(at) = told
            {
                // Whom a statement lets in that nobody signed for is let in by name or by place, or it is public.
                let statement = &policy.statements()[at];
                assert!(statement.is_public() || text.contains("Condition"), "{text}");
            }
            let _ = policy.resource_outside("bkt");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            // Too long is the one fault that does not make a stored one mean less.
            if serde_json::from_str::<serde_json::Value>(text).is_err() {
                assert!(
                    !matches!(told, Verdict::Allowed(_)),
                    "{text} is no JSON and lets somebody in"
                );
            }
        }
    }
}
