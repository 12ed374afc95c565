//! What each action asks its caller's policies for, how many of everything there may be, and which document counts.

use super::*;

/// Refuses one thing, and notes what it is asked.
#[derive(Clone, Default)]
struct Told {
    refuses: &'static str,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Judge for Told {
    fn allows(&self, _: &Caller, action: &str, resource: &str) -> bool {
        let asked = format!("{action} {}", resource.replace("acs:ram::1234567890123456:", ""));
        self.asked.lock().unwrap().push(asked);
        self.refuses.is_empty() || !resource.ends_with(self.refuses)
    }

    fn trusts(&self, _: &Caller, _: &Document) -> bool {
        false
    }
}

impl World {
    async fn ask(
        &self,
        judge: &Told,
        action: &str,
        pairs: &[(&str, &str)],
    ) -> Result<Object, Fault> {
        let request = RamRequest {
            action: action.to_owned(),
            version: RAM_VERSION.to_owned(),
            params: Params::of(pairs.iter().copied()),
            caller: self.lee().await,
            judge: Box::new(judge.clone()),
            nonce: fresh(),
            now_ms: NOW_MS,
        };
        self.ram.call(request).await
    }
}

#[test]
fn each_action_needs_its_right_on_all_that_it_names() {
    block_on(async {
        let world = World::new(Limits::default()).await;
        // Not the first user there is.
        world.call("CreateUser", &[("UserName", "a")]).await.unwrap();
        world.call("CreateUser", &[("UserName", "lee")]).await.unwrap();
        let (user, group, role) = (("UserName", "u"), ("GroupName", "g"), ("RoleName", "r"));
        let (custom, policy) = (("PolicyType", "Custom"), ("PolicyName", "p"));
        let system = ("PolicyType", "System");
        for (action, pairs, wanted) in [
            ("CreateUser", &[user][..], &["user/*"][..]),
            ("GetUser", &[user], &["user/u"]),
            ("UpdateUser", &[user], &["user/u"]),
            ("DeleteUser", &[user], &["user/u"]),
            ("DeleteUser", &[], &["user/*"]),
            ("ListUsers", &[], &["user/*"]),
            ("CreateAccessKey", &[user], &["user/u"]),
            ("CreateAccessKey", &[], &["user/lee"]),
            ("ListAccessKeys", &[], &["user/lee"]),
            ("UpdateAccessKey", &[user], &["user/u"]),
            ("DeleteAccessKey", &[user], &["user/u"]),
            ("GetAccessKeyLastUsed", &[], &["user/lee"]),
            ("CreatePolicy", &[policy], &["policy/*"]),
            ("GetPolicy", &[policy, custom], &["policy/p"]),
            ("GetPolicy", &[policy, system], &["acs:ram::system:policy/p"]),
            ("DeletePolicy", &[policy], &["policy/p"]),
            ("CreatePolicyVersion", &[policy], &["policy/p"]),
            ("SetDefaultPolicyVersion", &[policy], &["policy/p"]),
            ("AttachPolicyToUser", &[policy, custom, user], &["policy/p", "user/u"]),
            (
                "AttachPolicyToUser",
                &[policy, system, user],
                &["acs:ram::system:policy/p", "user/u"],
            ),
            ("DetachPolicyFromUser", &[policy, custom, user], &["policy/p", "user/u"]),
            ("AttachPolicyToGroup", &[policy, custom, group], &["policy/p", "group/g"]),
            ("AttachPolicyToRole", &[policy, custom, role], &["policy/p", "role/r"]),
            ("ListEntitiesForPolicy", &[policy, custom], &["policy/p"]),
            ("CreateGroup", &[group], &["group/*"]),
            ("DeleteGroup", &[group], &["group/g"]),
            ("AddUserToGroup", &[user, group], &["user/u", "group/g"]),
            ("RemoveUserFromGroup", &[user, group], &["user/u", "group/g"]),
            ("ListGroupsForUser", &[user], &["user/u"]),
            ("CreateRole", &[role], &["role/*"]),
            ("UpdateRole", &[role], &["role/r"]),
            ("DeleteRole", &[role], &["role/r"]),
        ] {
            let judge = Told::default();
            // Nothing of that name is there: what is asked for comes first.
            let _ = world.ask(&judge, action, pairs).await;
            let wanted: Vec<_> = wanted.iter().map(|on| format!("ram:{action} {on}")).collect();
            // A change asks again once it is its turn.
            let asked = judge.asked.lock().unwrap().clone();
            assert!(asked == wanted || asked == [&wanted[..]; 2].concat(), "{action}: {asked:?}");
            for on in &wanted {
                let refuses = on.rsplit_once('/').unwrap().1.to_owned().leak();
                let told = world.ask(&Told { refuses, ..Told::default() }, action, pairs).await;
                assert_eq!(told.unwrap_err().code, "NoPermission", "{action} without {on}");
            }
        }
    });
}

#[test]
fn there_are_as_many_of_everything_as_there_may_be_and_no_more() {
    block_on(async {
        let world = World::new(Limits {
            users: 3,
            groups: 3,
            roles: 3,
            policies: 4,
            versions: 2,
            keys_per_user: 1,
            groups_per_user: 2,
            system_policies_per_user: 2,
            custom_policies_per_user: 1,
            system_policies_per_group: 1,
            custom_policies_per_group: 2,
            system_policies_per_role: 1,
            custom_policies_per_role: 3,
            session_seconds_min: 900,
        })
        .await;
        let system =
            ["AliyunOSSFullAccess", "AliyunOSSReadOnlyAccess", "AliyunSTSAssumeRoleAccess"];
        let (user, group, role) = (("UserName", "n0"), ("GroupName", "n0"), ("RoleName", "n0"));
        let document = ("PolicyDocument", DOCUMENT);
        let trust = ("AssumeRolePolicyDocument", TRUST);
        for (action, name, more, most, code) in [
            ("CreateUser", "UserName", &[][..], 3, "LimitExceeded.User"),
            ("CreateGroup", "GroupName", &[], 3, "LimitExceeded.Group"),
            ("CreateRole", "RoleName", &[trust], 3, "LimitExceeded.Role"),
            ("CreatePolicy", "PolicyName", &[document], 4, "LimitExceeded.Policy"),
            ("AddUserToGroup", "GroupName", &[user], 2, "LimitExceeded.User.Group"),
            ("CreateAccessKey", "", &[user], 1, "LimitExceeded.User.AccessKey"),
            // The first is there.
            (
                "CreatePolicyVersion",
                "",
                &[("PolicyName", "n0"), document],
                1,
                "LimitExceeded.Policy.Version",
            ),
            ("AttachPolicyToUser", "system", &[user], 2, "LimitExceeded.User.Policy"),
            ("AttachPolicyToUser", "custom", &[user], 1, "LimitExceeded.User.Policy"),
            ("AttachPolicyToGroup", "system", &[group], 1, "LimitExceeded.Group.Policy"),
            ("AttachPolicyToGroup", "custom", &[group], 2, "LimitExceeded.Group.Policy"),
            ("AttachPolicyToRole", "system", &[role], 1, "LimitExceeded.Role.Policy"),
            ("AttachPolicyToRole", "custom", &[role], 3, "LimitExceeded.Role.Policy"),
        ] {
            for count in 0..=most {
                let (own, shared) = (format!("n{count}"), system.get(count).copied());
                let named: &[_] = match name {
                    "system" => {
                        &[("PolicyType", "System"), ("PolicyName", shared.unwrap_or_default())]
                    }
                    "custom" => &[("PolicyType", "Custom"), ("PolicyName", &own)],
                    name => &[(name, &own)],
                };
                let told = world.call(action, &[named, more].concat()).await;
                let told = told.err().map(|fault| fault.code.into_owned());
                let wanted = (count == most).then(|| code.to_owned());
                assert_eq!(told, wanted, "{action} {name} {count}");
            }
        }
        // A name that is taken is no other's.
        for (action, name, new, code) in [
            ("UpdateUser", "UserName", "NewUserName", "EntityAlreadyExists.User"),
            ("UpdateGroup", "GroupName", "NewGroupName", "EntityAlreadyExists.Group"),
        ] {
            let told = world.call(action, &[(name, "n0"), (new, "N1")]).await;
            assert_eq!(told.unwrap_err().code, code);
            world.call(action, &[(name, "n0"), (new, "N0")]).await.unwrap();
        }
        let page = world.call("ListUsers", &[("MaxItems", "2")]).await.unwrap();
        assert_eq!(page.get("IsTruncated"), Some(&Node::Bool(true)));
        let Some(Node::List(_, users)) = page.get("Users") else { panic!("{page:?}") };
        assert_eq!(users.len(), 2);
    });
}

#[test]
fn the_default_version_of_what_is_attached_is_what_counts() {
    block_on(async {
        let mut world = World::new(Limits { versions: 2, ..Limits::default() }).await;
        let made = [("UserName", "lee")];
        world.call("CreateUser", &made).await.unwrap();
        let key = world.call("CreateAccessKey", &made).await.unwrap();
        let id = text(&key, ["AccessKey", "AccessKeyId"]);
        let document = |action: &str| DOCUMENT.replace("oss:*", action);
        // Called as one of the system's is.
        let policy = ("PolicyName", "AliyunOSSReadOnlyAccess");
        let (first, second, third) = (document("oss:A"), document("oss:B"), document("oss:C"));
        world.call("CreatePolicy", &[policy, ("PolicyDocument", &first)]).await.unwrap();
        for kind in ["System", "Custom"] {
            let named = [("PolicyType", kind), policy, ("UserName", "lee")];
            world.call("AttachPolicyToUser", &named).await.unwrap();
        }
        let attached = |world: &World| -> Vec<String> {
            let Found::Credential(found) = world.ram.find(&id, None, 0) else { panic!("no key") };
            found.caller.policies.iter().map(|one| one.policy.text().to_owned()).collect()
        };
        let [system, own]: [String; 2] = attached(&world).try_into().unwrap();
        assert!(system.contains("oss:Get*") && own == first, "{system} {own}");
        let add = async |world: &World, document: &str, more: &[(&str, &str)]| {
            let named = [&[policy, ("PolicyDocument", document)], more].concat();
            world.call("CreatePolicyVersion", &named).await.map(drop)
        };
        add(&world, &second, &[]).await.unwrap();
        assert_eq!(attached(&world)[1], first);
        let default = [policy, ("VersionId", "v2")];
        world.call("SetDefaultPolicyVersion", &default).await.unwrap();
        assert_eq!(attached(&world)[1], second);
        assert!(add(&world, &third, &[]).await.is_err(), "there are two");
        // The oldest that is not the default goes.
        let rotate = ("RotateStrategy", "DeleteOldestNonDefaultVersionWhenLimitExceeded");
        add(&world, &third, &[rotate]).await.unwrap();
        let oldest = [policy, ("PolicyType", "Custom"), ("VersionId", "v1")];
        let got = world.call("GetPolicyVersion", &oldest).await;
        assert_eq!(got.unwrap_err().code, "EntityNotExist.Policy.Version");
        assert_eq!(attached(&world)[1], second);
        let both = [rotate, ("SetAsDefault", "true")];
        add(&world, &first, &both).await.unwrap();
        assert_eq!(attached(&world)[1], first);
        let left =
            world.call("ListPolicyVersions", &[policy, ("PolicyType", "Custom")]).await.unwrap();
        let left = left.render("", "", Format::Json);
        assert!(left.contains("\"v2\"") && !left.contains("\"v3\""), "{left}");
        world.restart().await;
        assert_eq!(attached(&world), [system, first]);
        // Each goes by itself.
        let named = [("PolicyType", "System"), policy, ("UserName", "lee")];
        world.call("DetachPolicyFromUser", &named).await.unwrap();
        assert_eq!(attached(&world).len(), 1);
        world.call("AttachPolicyToUser", &named).await.unwrap();
        let custom = [("PolicyType", "Custom"), policy, ("UserName", "lee")];
        world.call("DetachPolicyFromUser", &custom).await.unwrap();
        let gone = [policy, ("CascadingDelete", "true")];
        world.call("DeletePolicy", &gone).await.unwrap();
        assert_eq!(attached(&world).len(), 1);
    });
}

#[test]
fn nobody_is_told_of_anothers_key() {
    block_on(async {
        let world = World::new(Limits::default()).await;
        let mut ids = Vec::new();
        for name in ["a", "lee"] {
            world.call("CreateUser", &[("UserName", name)]).await.unwrap();
            let key = world.call("CreateAccessKey", &[("UserName", name)]).await.unwrap();
            ids.push(text(&key, ["AccessKey", "AccessKeyId"]));
        }
        for (id, wanted) in [(&ids[0], Some("EntityNotExist.User.AccessKey")), (&ids[1], None)] {
            let named = [("UserAccessKeyId", id.as_str()), ("Status", "Active")];
            for action in ["GetAccessKeyLastUsed", "UpdateAccessKey", "DeleteAccessKey"] {
                let told = world.ask(&Told::default(), action, &named).await;
                assert_eq!(told.err().map(|fault| fault.code).as_deref(), wanted, "{action}");
            }
        }
        assert!(matches!(world.ram.find(&ids[0], None, 0), Found::Credential(_)));
        assert!(matches!(world.ram.find(&ids[1], None, 0), Found::Unknown));
    });
}
