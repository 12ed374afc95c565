//! Roles assumed: by whom, for how long, and what the credentials are good for.

use ossia_access::Principal;
use ossia_protocol::auth::TokenFault;

use super::*;

const ACCOUNT: &str = "1234567890123456";
const NOW_S: u64 = NOW_MS / 1_000;

/// A judge that answers as it is told and notes what it is asked.
#[derive(Clone, Default)]
struct Told {
    refuses: bool,
    distrusts: bool,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Judge for Told {
    fn allows(&self, _: &Caller, action: &str, resource: &str) -> bool {
        self.asked.lock().unwrap().push(format!("{action} {resource}"));
        !self.refuses
    }

    fn trusts(&self, _: &Caller, trust: &Document) -> bool {
        self.asked.lock().unwrap().push(trust.text().to_owned());
        !self.distrusts
    }
}

struct Session {
    key_id: String,
    token: String,
    expiration: String,
}

impl World {
    /// With a user `lee` and a role `writer` of sessions up to two hours.
    async fn with_role() -> World {
        let world = World::new(Limits::default()).await;
        world.call("CreateUser", &[("UserName", "lee")]).await.unwrap();
        world.create_role().await;
        world
    }

    async fn create_role(&self) {
        let role = [
            ("RoleName", "writer"),
            ("AssumeRolePolicyDocument", TRUST),
            ("MaxSessionDuration", "7200"),
        ];
        self.call("CreateRole", &role).await.unwrap();
    }

    async fn assume_as(
        &self,
        caller: Arc<Caller>,
        judge: &Told,
        pairs: &[(&str, &str)],
    ) -> Result<Session, Fault> {
        let arn = format!("acs:ram::{ACCOUNT}:role/writer");
        let usual = [("RoleArn", arn.as_str()), ("RoleSessionName", "s1")];
        // What is named later counts.
        let params = Params::of(usual.into_iter().chain(pairs.iter().copied()));
        let (action, version) = ("AssumeRole".to_owned(), STS_VERSION.to_owned());
        let judge = Box::new(judge.clone());
        let nonce = fresh();
        let request = RamRequest { action, version, params, caller, judge, nonce, now_ms: NOW_MS };
        let answer = self.ram.call(request).await?;
        let of = |name| text(&answer, ["Credentials", name]);
        Ok(Session {
            key_id: of("AccessKeyId"),
            token: of("SecurityToken"),
            expiration: of("Expiration"),
        })
    }

    async fn assume(&self, pairs: &[(&str, &str)]) -> Result<Session, Fault> {
        let lee = self.lee().await;
        self.assume_as(lee, &Told::default(), pairs).await
    }

    fn held(&self, session: &Session, now_s: u64) -> Arc<Caller> {
        match self.ram.find(&session.key_id, Some(&session.token), now_s) {
            Found::Credential(found) => {
                self.ram.held(&found, now_s * 1_000);
                found.caller
            }
            other => panic!("{other:?}"),
        }
    }

    fn fault(&self, key_id: &str, token: &str, now_s: u64) -> TokenFault {
        match self.ram.find(key_id, Some(token), now_s) {
            Found::BadToken(fault) => fault,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_token_goes_with_its_key_until_its_end_whether_or_not_it_is_remembered() {
    block_on(async {
        let mut world = World::with_role().await;
        let (one, two) = (world.assume(&[]).await.unwrap(), world.assume(&[]).await.unwrap());
        assert!(one.key_id != two.key_id && one.token != two.token);
        let lasting = world.lee().await.access_key_id.as_deref().unwrap().to_owned();
        for round in ["fresh", "remembered", "after a restart"] {
            if round == "after a restart" {
                world.restart().await;
            }
            for (key_id, wanted) in [
                (&two.key_id, TokenFault::Mismatch),
                (&lasting, TokenFault::Mismatch),
                (&one.key_id.to_lowercase(), TokenFault::Mismatch),
            ] {
                assert_eq!(world.fault(key_id, &one.token, NOW_S), wanted, "{round}");
            }
            assert_eq!(world.fault(&one.key_id, "CAISx", NOW_S), TokenFault::Invalid);
            assert_eq!(world.fault(&lasting, "CAISx", NOW_S), TokenFault::OnLongTermKey);
            assert!(matches!(world.ram.find(&one.key_id, None, NOW_S), Found::Unknown));
            world.held(&one, NOW_S);
            world.held(&one, NOW_S + 3_599);
            for late in [3_600, 3_601, 1 << 40] {
                let fault = world.fault(&one.key_id, &one.token, NOW_S + late);
                assert_eq!(fault, TokenFault::Expired, "{round}");
            }
        }
        world.master = Arc::new(MasterKeys::ephemeral().unwrap());
        world.restart().await;
        assert_eq!(world.fault(&one.key_id, &one.token, NOW_S), TokenFault::Invalid);
    });
}

#[test]
fn a_session_is_what_its_role_is_now_and_ends_with_it() {
    block_on(async {
        let world = World::with_role().await;
        let narrow = world.assume(&[("Policy", DOCUMENT)]).await.unwrap();
        let wide = world.assume(&[]).await.unwrap();
        let names = |session: &Session| -> Vec<String> {
            let caller = world.held(session, NOW_S);
            caller.policies.iter().map(|policy| policy.name.to_string()).collect()
        };
        for session in [&narrow, &wide] {
            let caller = world.held(session, NOW_S);
            assert_eq!(caller.access_key_id.as_deref(), Some(&*session.key_id));
            let Principal::Session { role, session, .. } = &caller.principal else { panic!() };
            assert_eq!((&**role, &**session), ("writer", "s1"));
        }
        let narrowed = world.held(&narrow, NOW_S);
        assert_eq!(narrowed.session_policy.as_ref().unwrap().text(), DOCUMENT);
        assert!(world.held(&wide, NOW_S).session_policy.is_none());
        assert!(names(&wide).is_empty());
        let attached = [
            ("PolicyType", "System"),
            ("PolicyName", "AliyunOSSFullAccess"),
            ("RoleName", "writer"),
        ];
        world.call("AttachPolicyToRole", &attached).await.unwrap();
        assert_eq!((names(&wide), names(&narrow).len()), (vec!["AliyunOSSFullAccess".into()], 1));
        world.call("DetachPolicyFromRole", &attached).await.unwrap();
        assert!(names(&wide).is_empty());
        world.call("DeleteRole", &[("RoleName", "writer")]).await.unwrap();
        assert_eq!(world.fault(&wide.key_id, &wide.token, NOW_S), TokenFault::Invalid);
        // Another role of the same name.
        world.create_role().await;
        assert_eq!(world.fault(&wide.key_id, &wide.token, NOW_S), TokenFault::Invalid);
    });
}

#[test]
fn a_session_lasts_as_long_as_asked_for_within_its_bounds() {
    block_on(async {
        let world = World::with_role().await;
        for (seconds, ends) in [
            (None, "2026-01-15T09:30:45Z"),
            (Some("900"), "2026-01-15T08:45:45Z"),
            (Some("901"), "2026-01-15T08:45:46Z"),
            (Some("7199"), "2026-01-15T10:30:44Z"),
            (Some("7200"), "2026-01-15T10:30:45Z"),
        ] {
            let pairs: Vec<_> = seconds.map(|text| ("DurationSeconds", text)).into_iter().collect();
            let session = world.assume(&pairs).await.unwrap();
            assert_eq!(session.expiration, ends, "{seconds:?}");
        }
        for seconds in ["0", "899", "7201", "-1", "1h", "99999999999999999999"] {
            let told = world.assume(&[("DurationSeconds", seconds)]).await.err().unwrap();
            assert_eq!(told.code, "InvalidParameter.DurationSeconds", "{seconds}");
        }
        for seconds in ["3599", "43201", "x"] {
            let changed = [("RoleName", "writer"), ("NewMaxSessionDuration", seconds)];
            assert!(world.call("UpdateRole", &changed).await.is_err(), "{seconds}");
        }
        for seconds in ["3600", "43200"] {
            let changed = [("RoleName", "writer"), ("NewMaxSessionDuration", seconds)];
            world.call("UpdateRole", &changed).await.unwrap();
            world.assume(&[("DurationSeconds", seconds)]).await.unwrap();
        }
    });
}

#[test]
fn what_a_session_is_called_and_narrowed_to_has_its_form() {
    block_on(async {
        let world = World::with_role().await;
        let policy = |length: usize| {
            let sid = |count: usize| {
                DOCUMENT.replace(
                    "\"Effect\"",
                    &format!("\"Sid\":\"{}\",\"Effect\"", "目".repeat(count)),
                )
            };
            sid(length - sid(0).chars().count())
        };
        let (long, id) = ("s".repeat(64), "i".repeat(1_224));
        for good in [
            ("RoleSessionName", "ab"),
            ("RoleSessionName", &long),
            ("RoleSessionName", "a.@-_"),
            ("ExternalId", "ab"),
            ("ExternalId", &id),
            ("Policy", &policy(2_048)),
        ] {
            assert!(world.assume(&[good]).await.is_ok(), "{good:?}");
        }
        for (bad, code) in [
            (("RoleSessionName", "a"), "InvalidParameter.RoleSessionName"),
            (("RoleSessionName", &*format!("{long}s")), "InvalidParameter.RoleSessionName"),
            (("RoleSessionName", "a/b"), "InvalidParameter.RoleSessionName"),
            (("RoleSessionName", "a*"), "InvalidParameter.RoleSessionName"),
            (("ExternalId", "a"), "InvalidParameter.ExternalId"),
            (("ExternalId", &*format!("{id}i")), "InvalidParameter.ExternalId"),
            (("ExternalId", "a b"), "InvalidParameter.ExternalId"),
            (("Policy", &*policy(2_049)), "InvalidParameter.PolicySize"),
            (("Policy", "{}"), "InvalidParameter.PolicyGrammar"),
            (("Policy", TRUST), "InvalidParameter.PolicyGrammar"),
            (("RoleArn", "writer"), "InvalidParameter.RoleArn"),
            (("RoleArn", "acs:ram::x:role/writer"), "InvalidParameter.RoleArn"),
        ] {
            assert_eq!(world.assume(&[bad]).await.err().unwrap().code, code, "{bad:?}");
        }
    });
}

#[test]
fn a_role_is_assumed_by_who_may_and_is_trusted_and_never_by_the_root_key() {
    block_on(async {
        let world = World::with_role().await;
        let code = async |caller: Arc<Caller>, judge: &Told, pairs: &[(&str, &str)]| {
            world
                .assume_as(caller, judge, pairs)
                .await
                .err()
                .map(|fault| (fault.status, fault.code))
        };
        let lee = world.lee().await;
        let no_permission = Some((403, "NoPermission".into()));
        let judge = Told::default();
        assert_eq!(code(Arc::clone(&lee), &judge, &[]).await, None);
        let asked = [format!("sts:AssumeRole acs:ram::{ACCOUNT}:role/writer"), TRUST.to_owned()];
        assert_eq!(*judge.asked.lock().unwrap(), asked);
        let root = Arc::new(Caller::account("root"));
        assert_eq!(code(root, &Told::default(), &[]).await, no_permission);
        let refuses = Told { refuses: true, ..Told::default() };
        assert_eq!(code(Arc::clone(&lee), &refuses, &[]).await, no_permission);
        let distrusts = Told { distrusts: true, ..Told::default() };
        assert_eq!(code(Arc::clone(&lee), &distrusts, &[]).await, no_permission);
        for absent in ["acs:ram::1:role/writer", "acs:ram::1234567890123456:role/reader"] {
            let named = [("RoleArn", absent)];
            let told = code(Arc::clone(&lee), &Told::default(), &named).await;
            assert_eq!(told, Some((404, "EntityNotExist.Role".into())), "{absent}");
            // Whether there is such a role is told to nobody who may not assume it.
            assert_eq!(code(Arc::clone(&lee), &refuses, &named).await, no_permission);
        }
        // What it is trusted by is what was written last.
        let other = TRUST.replace("root", "user/lee");
        let changed = [("RoleName", "writer"), ("NewAssumeRolePolicyDocument", other.as_str())];
        world.call("UpdateRole", &changed).await.unwrap();
        let judge = Told::default();
        assert_eq!(code(lee, &judge, &[]).await, None);
        assert_eq!(judge.asked.lock().unwrap()[1], other);
        let told = world.call("GetRole", &[("RoleName", "writer")]).await.unwrap();
        assert_eq!(text(&told, ["Role", "AssumeRolePolicyDocument"]), other);
    });
}
