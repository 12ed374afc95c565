//! RAM and STS: the RPC style, on the same endpoint.

use http::Method;
use ossia_protocol::auth::sign_rpc;
use ossia_protocol::{query::Query, time};
use serde_json::Value;

use crate::client::Client;
use crate::config::Credentials;
use crate::error::{ClientError, InvalidInput};
use crate::send::{Call, Retry, may_repeat};

/// The longest answer that is read; a page of a thousand policies is about a quarter of it.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Which of the two services is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RpcService {
    /// Users, groups, roles, policies: version 2015-05-01.
    Ram,
    /// Temporary credentials: version 2015-04-01.
    Sts,
}

impl RpcService {
    fn version(self) -> &'static str {
        match self {
            RpcService::Ram => "2015-05-01",
            RpcService::Sts => "2015-04-01",
        }
    }
}

/// A role to assume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssumeRoleRequest {
    /// `acs:ram::<account>:role/<name>`.
    pub role_arn: String,
    /// What the session is called, 2 to 64 of letters, digits and `.@-_`.
    pub session_name: String,
    /// How long it lasts, in seconds; by default an hour.
    pub duration_seconds: Option<u64>,
    /// A policy that the session is narrowed to.
    pub policy: Option<String>,
    /// What the role's trust policy may ask for.
    pub external_id: Option<String>,
}

/// A session of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssumeRoleOutput {
    /// What to sign with, token included: for [`ClientBuilder::credentials`](crate::ClientBuilder::credentials).
    pub credentials: Credentials,
    /// When they are over, in Unix seconds.
    pub expiration: i64,
    /// `acs:ram::<account>:role/<name>/<session>`.
    pub arn: String,
}

fn bad_answer(value: &Value) -> ClientError {
    ClientError::BadAnswer {
        what: "the answer lacks what it should have",
        request_id: value["RequestId"].as_str().unwrap_or_default().to_owned(),
    }
}

impl Client {
    /// Calls an action of RAM or STS with its parameters, and gives the answer as it came. What only reads is tried again, anything
    /// else only if it surely did not happen.
    ///
    /// # Errors
    /// [`ClientError::Service`] with code and message; without credentials [`ClientError::InvalidInput`].
    pub async fn rpc(
        &self,
        service: RpcService,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Value, ClientError> {
        let reads = ["Get", "List", "AssumeRole"].iter().any(|verb| action.starts_with(verb));
        let retry = if reads { Retry::Repeatable } else { Retry::Once };
        let (mut attempt, mut corrected) = (1, false);
        let answer = loop {
            // Anew each time: what was sent once is refused as sent again.
            let mut call = self.rpc_call(service, action, parameters, retry)?;
            let failure = match self.inner.attempt(&mut call).await {
                Ok(answer) => break answer,
                Err(failure) => failure,
            };
            if self.inner.follow_clock(&failure, &call, &mut corrected) {
                continue;
            }
            if attempt >= self.inner.retry.attempts_max || !may_repeat(&call, &failure) {
                return Err(failure.error);
            }
            self.inner.pause(attempt, &failure).await;
            attempt += 1;
        };
        let request_id = answer.request_id;
        let body = self.inner.read_bounded(answer.body, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&body)
            .map_err(|_| ClientError::BadAnswer { what: "the answer is no JSON", request_id })
    }

    fn rpc_call(
        &self,
        service: RpcService,
        action: &str,
        parameters: &[(&str, &str)],
        retry: Retry,
    ) -> Result<Call, ClientError> {
        let missing = "RAM and STS answer nobody without credentials";
        let identity = self.inner.identity.as_ref();
        let identity = identity.ok_or(InvalidInput::Contradiction(missing))?;
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|_| InvalidInput::Contradiction("the system gives no random bytes"))?;
        let nonce = format!("{:032x}", u128::from_be_bytes(random));
        let mut query = Query::new();
        for (name, value) in parameters {
            query.push(name, value);
        }
        for (name, value) in [
            ("Action", action),
            ("Version", service.version()),
            ("Format", "JSON"),
            ("AccessKeyId", &identity.access_key_id),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureVersion", "1.0"),
            ("SignatureNonce", &nonce),
            ("Timestamp", &time::iso_seconds(self.inner.clock.now())),
        ] {
            query.push(name, value);
        }
        if let Some(token) = &identity.token {
            query.push("SecurityToken", token);
        }
        let signature = sign_rpc("POST", &query, &identity.secret);
        query.push("Signature", &signature);
        let mut call = Call { signed: false, ..Call::new(Method::POST, retry) };
        call.header("content-type", "application/x-www-form-urlencoded")?;
        call.body = query.to_wire().into();
        Ok(call)
    }

    /// Assumes a role. The credentials that come back sign for the role's session until they are over.
    ///
    /// # Errors
    /// [`ClientError::Service`]: `NoPermission`, `EntityNotExist.Role`, `InvalidParameter...`.
    pub async fn assume_role(
        &self,
        request: AssumeRoleRequest,
    ) -> Result<AssumeRoleOutput, ClientError> {
        let seconds = request.duration_seconds.map(|seconds| seconds.to_string());
        let mut parameters = vec![
            ("RoleArn", request.role_arn.as_str()),
            ("RoleSessionName", request.session_name.as_str()),
        ];
        let more = [
            ("DurationSeconds", &seconds),
            ("Policy", &request.policy),
            ("ExternalId", &request.external_id),
        ];
        for (name, value) in more {
            if let Some(value) = value {
                parameters.push((name, value));
            }
        }
        let answer = self.rpc(RpcService::Sts, "AssumeRole", &parameters).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let given = &answer["Credentials"];
        let output = || {
            let key =
                Credentials::new(text(&given["AccessKeyId"])?, text(&given["AccessKeySecret"])?);
            Some(AssumeRoleOutput {
                credentials: key.with_security_token(text(&given["SecurityToken"])?),
                expiration: time::parse_iso8601(given["Expiration"].as_str()?)?,
                arn: text(&answer["AssumedRoleUser"]["Arn"])?,
            })
        };
        output().ok_or_else(|| bad_answer(&answer))
    }
}
