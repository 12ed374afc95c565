//! What a person sees at the start: where the server listens, the key, and programs to paste.

use std::{fmt::Write as _, net::SocketAddr};

use crate::{config::Config, identity::Identity};

/// The start screen. It contains the line `listening on http://ADDRESS:PORT`, which programs may wait for.
///
/// `metrics` is where `metrics.listen` is answered. The secret stands in it only when it was made by this start; later starts show
/// the key id alone.
pub fn start_screen(
    config: &Config,
    identity: &Identity,
    address: SocketAddr,
    metrics: Option<SocketAddr>,
) -> String {
    let mut screen = String::new();
    let scheme = scheme(config);
    let endpoint = format!("{scheme}://{}", reachable(address));
    let secret = if identity.secret_is_new {
        identity.root.secret.as_str()
    } else {
        "<the secret shown at the first start, or your OSSIA_ACCESS_KEY_SECRET>"
    };
    let store = if config.memory {
        "in memory; nothing is kept".to_owned()
    } else {
        config.data.display().to_string()
    };
    // Writing to a String cannot fail.
    let _ = writeln!(screen, "Ossia {}", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(screen, "listening on {scheme}://{address}");
    let _ = writeln!(screen);
    let _ = writeln!(screen, "  endpoint           {endpoint}");
    let _ = writeln!(screen, "  region             {}", config.region);
    let _ = writeln!(screen, "  access key id      {}", identity.root.id);
    if identity.secret_is_new {
        let _ = writeln!(screen, "  access key secret  {secret}");
        if !config.memory {
            let _ = writeln!(screen, "                     (shown this once; keep it)");
        }
    }
    let _ = writeln!(screen, "  data               {store}");
    if let Some(metrics) = metrics {
        let _ = writeln!(screen, "  metrics            http://{}/metrics", reachable(metrics));
    }
    let _ = write!(screen, "{}", snippets(config, identity, address, secret));
    screen
}

fn scheme(config: &Config) -> &'static str {
    if config.tls.is_on() { "https" } else { "http" }
}

/// The address that a client on this machine can connect to.
fn reachable(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
        address => address.to_string(),
    }
}

fn snippets(config: &Config, identity: &Identity, address: SocketAddr, secret: &str) -> String {
    // ali-oss needs a host name, not an address, for path-style requests.
    let scheme = scheme(config);
    let node_endpoint = format!("{scheme}://localhost:{}", address.port());
    let python_endpoint = format!("{scheme}://{}", reachable(address));
    let (id, region) = (&identity.root.id, &config.region);
    format!(
        r#"
Command line

  export OSSIA_ENDPOINT={python_endpoint} OSSIA_ACCESS_KEY_ID='{id}' OSSIA_ACCESS_KEY_SECRET='{secret}'
  ossia mb oss://demo
  date | ossia append oss://demo/clock.log
  ossia cat oss://demo/clock.log

Node (npm install ali-oss)

  const OSS = require('ali-oss');
  const client = new OSS({{ endpoint: '{node_endpoint}', sldEnable: true, region: 'oss-{region}',
    accessKeyId: '{id}', accessKeySecret: '{secret}' }});
  (async () => {{
    await client.putBucket('logs');
    client.useBucket('logs');
    const first = await client.append('today.log', Buffer.from('hello '), {{ position: 0 }});
    await client.append('today.log', Buffer.from('world\n'), {{ position: first.nextAppendPosition }});
    console.log((await client.get('today.log')).content.toString());
  }})();

Python (pip install oss2)

  import oss2
  bucket = oss2.Bucket(oss2.Auth('{id}', '{secret}'), '{python_endpoint}', 'logs')
  bucket.create_bucket()
  first = bucket.append_object('today.txt', 0, 'hello ')
  bucket.append_object('today.txt', first.next_position, 'world\n')
  print(bucket.get_object('today.txt').read().decode())
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_has_the_line_that_programs_wait_for_and_a_new_secret() {
        let identity = Identity::in_memory(None, "");
        let config = Config { memory: true, ..Config::default() };
        let screen = start_screen(&config, &identity, "0.0.0.0:4711".parse().unwrap(), None);
        assert!(screen.lines().any(|line| line == "listening on http://0.0.0.0:4711"));
        assert!(screen.contains("http://127.0.0.1:4711"), "{screen}");
        assert!(screen.contains(&identity.root.secret));
    }

    #[test]
    fn a_secret_that_is_not_new_is_not_shown() {
        let identity =
            Identity { secret_is_new: false, ..Identity::in_memory(None, "1234567890123456") };
        let screen =
            start_screen(&Config::default(), &identity, "127.0.0.1:9000".parse().unwrap(), None);
        assert!(!screen.contains(&identity.root.secret), "{screen}");
        assert!(screen.contains(&identity.root.id));
    }
}
