//! The Lambda function `charge-one`.

use keybrake_lambda::{charge::charge_one, serve::serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(charge_one).await
}
