locals {
  # Which API keys a function holds: no more than it needs.
  functions = {
    issue-vault-key   = ["issuer"]
    charge-one        = ["issuer", "caller"]
    revoke-vault-key  = ["issuer"]
    revoke-ended-run  = ["issuer"]
    charge-from-queue = ["issuer", "caller"]
  }
  secrets = {
    issuer = { variable = "KEYBRAKE_API_KEY_SECRET_ID", arn = var.issuer_secret_arn }
    caller = { variable = "KEYBRAKE_CALLER_API_KEY_SECRET_ID", arn = var.caller_secret_arn }
  }
}

data "aws_iam_policy_document" "lambda_assumes" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "function" {
  for_each           = local.functions
  name               = "${var.prefix}${each.key}"
  assume_role_policy = data.aws_iam_policy_document.lambda_assumes.json
}

resource "aws_cloudwatch_log_group" "function" {
  for_each          = local.functions
  name              = "/aws/lambda/${var.prefix}${each.key}"
  retention_in_days = 30
}

data "aws_iam_policy_document" "function" {
  for_each = local.functions
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for role in each.value : local.secrets[role].arn]
  }
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function[each.key].arn}:*"]
  }
}

resource "aws_iam_role_policy" "function" {
  for_each = local.functions
  role     = aws_iam_role.function[each.key].id
  policy   = data.aws_iam_policy_document.function[each.key].json
}

resource "aws_lambda_function" "function" {
  for_each         = local.functions
  function_name    = "${var.prefix}${each.key}"
  role             = aws_iam_role.function[each.key].arn
  runtime          = "provided.al2023"
  architectures    = ["arm64"]
  handler          = "bootstrap"
  filename         = "${var.packages}/${each.key}/bootstrap.zip"
  source_code_hash = filebase64sha256("${var.packages}/${each.key}/bootstrap.zip")
  memory_size      = 256
  # Longer than the functions wait for the proxy, so that its answer comes first.
  timeout    = 100
  layers     = [var.secrets_extension_arn]
  depends_on = [aws_iam_role_policy.function]

  environment {
    variables = merge(
      { KEYBRAKE_URL = var.keybrake_url },
      { for role in each.value : local.secrets[role].variable => local.secrets[role].arn },
    )
  }
}
