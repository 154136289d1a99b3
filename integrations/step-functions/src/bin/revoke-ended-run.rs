//! The Lambda function `revoke-ended-run`.

use keybrake_lambda::{ended::revoke_ended_run, serve::serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(revoke_ended_run).await
}
