variable "prefix" {
  description = "What the names of all resources begin with."
  type        = string
  default     = "keybrake-"
}

variable "keybrake_url" {
  description = "Where the proxy is, as the functions reach it."
  type        = string
}

variable "issuer_secret_arn" {
  description = "The secret with an API key of the role issuer. Its text is the key alone."
  type        = string
}

variable "caller_secret_arn" {
  description = "The secret with an API key of the role caller."
  type        = string
}

variable "secrets_extension_arn" {
  description = "The layer AWS-Parameters-and-Secrets-Lambda-Extension-Arm64 of this region."
  type        = string
}

variable "fetch_customers_arn" {
  description = "Your function that lists the customers of a plan."
  type        = string
}

variable "packages" {
  description = "The folder with the functions' archives, NAME/bootstrap.zip, as cargo lambda build --output-format zip makes them."
  type        = string
  default     = "../../../target/lambda"
}
