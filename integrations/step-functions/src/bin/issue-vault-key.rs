//! The Lambda function `issue-vault-key`.

use keybrake_lambda::{issue::issue_vault_key, serve::serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(issue_vault_key).await
}
