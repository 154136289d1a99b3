//! The Lambda function `refresh-vault-key`.

use keybrake_lambda::{refresh::refresh_vault_key, serve::serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(refresh_vault_key).await
}
