//! The Lambda function `revoke-vault-key`.

use keybrake_lambda::{revoke::revoke_vault_key, serve::serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(revoke_vault_key).await
}
