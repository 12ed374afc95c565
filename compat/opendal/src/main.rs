//! opendal, unmodified, against a running server: `writer.append(true)` and what surrounds it.
//!
//! Everything comes by environment: `OSSIA_PORT`, `OSSIA_ACCESS_KEY_ID` and `OSSIA_ACCESS_KEY_SECRET`.
//! opendal signs with V1 alone, and its path and virtual-hosted addressing both run.

mod cases;
mod connect;
mod room;

use std::process::ExitCode;

use cases::Cases;
use connect::Target;
use room::{Room, Totals};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => {
            println!("not ok - opendal all all / the program itself: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> ExitCode {
    let target = match Target::from_environment() {
        Ok(target) => target,
        Err(error) => {
            println!("not ok - opendal all all / the program itself: {error}");
            return ExitCode::from(2);
        }
    };
    let mut totals = Totals::default();
    for addressing in ["path", "virtual"] {
        let mut room = Room::new(format!("opendal v1 {addressing}"), &mut totals);
        let bucket = format!("compat-opendal-{addressing}");
        room.run("creates a bucket", target.create_bucket(&bucket)).await;
        match Cases::new(&target, addressing, &bucket) {
            Ok(cases) => cases.run(&mut room).await,
            Err(error) => room.failed("connects", &error.to_string()),
        }
        room.run("deletes the bucket", target.delete_bucket(&bucket)).await;
    }
    Room::new("opendal v1 cname".into(), &mut totals).skip(
        "every case",
        "opendal signs a CNAME request without its bucket, so no server can verify it",
    );
    for addressing in ["path", "virtual"] {
        Room::new(format!("opendal v4 {addressing}"), &mut totals)
            .skip("every case", "no setting of opendal's OSS service reaches its V4 signer");
    }
    totals.close()
}
