variable "region" {
  default = "eu-central-1"
}

resource "aws_s3_bucket" "logs" {
  bucket = "logs-${var.region}"
}

resource "aws_s3_bucket" "backups" {
  bucket = "backups-${var.region}"
}
