"""What stores tell, each in its own words: one module for each family, one pure function `bytes -> list[Noticed]`.

`s3` reads the event records that S3 has taught others (MinIO, AWS, Ceph, RustFS), `seaweedfs` its filer's,
`eventbridge` those of AWS's event bus, `sns` the envelopes in which AWS's topics wrap either. None of them asks
anything of anybody.
"""
