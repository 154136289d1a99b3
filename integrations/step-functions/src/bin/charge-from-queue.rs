//! The Lambda function `charge-from-queue`.

use keybrake_lambda::{queue::charge_from_queue, serve::serve};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    serve(charge_from_queue).await
}
