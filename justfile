# What a developer does all day. Each recipe is one line that can be typed without `just`.

kafka_dir := env("XDG_CACHE_HOME", home_directory() / ".cache") / "millrace-test/node"
kafka_port := "19092"
postgres_dir := "/tmp/millrace-test-postgres"
postgres_port := "15432"
s3_dir := "/tmp/millrace-test-s3"
s3_port := "15555"

# What the recipes are.
default:
    @just --list --unsorted

# Format and lints, as .ci/run holds them.
check:
    cargo fmt --all -- --check
    cargo clippy --profile tests --workspace --all-targets -- -D warnings

# Mends what the two of `check` can mend by themselves.
fix:
    cargo clippy --profile tests --fix --allow-dirty --allow-staged --workspace --all-targets
    cargo fmt --all

# The README's test command; words after it select tests.
test *FILTER:
    cargo test --profile tests --workspace {{ FILTER }}

# The tests against a real Kafka, a real PostgreSQL, another S3 and the real MySQL clients, none of them skipped.
test-real *FILTER: kafka postgres s3
    eval "$(tests/components/clients.sh)" && \
    MILLRACE_TEST_POSTGRES="$(tests/components/postgres.sh url '{{ postgres_dir }}' {{ postgres_port }})" \
    MILLRACE_TEST_POSTGRES_CONTROL='{{ postgres_dir }}/control' MILLRACE_TEST_POSTGRES_CA='{{ postgres_dir }}/ca.crt' \
    MILLRACE_TEST_S3=http://127.0.0.1:{{ s3_port }} \
    MILLRACE_TEST_KAFKA=127.0.0.1:{{ kafka_port }} MILLRACE_TEST_KAFKA_CONTROL='{{ kafka_dir }}/control' \
    MILLRACE_TEST_REQUIRE=kafka,clients,postgres,s3 cargo test --profile tests --workspace {{ FILTER }}

# Benchmarks; the words after it are the benchmark's own.
bench *ARGS:
    cargo run --release -p millrace-benches -- {{ ARGS }}

# A real Kafka for the tests: `just kafka` starts it, `just kafka stop` ends it.
kafka VERB="start":
    tests/components/kafka.sh {{ VERB }} '{{ kafka_dir }}' {{ kafka_port }}

# A real PostgreSQL for the tests: `just postgres` starts it, `just postgres stop` ends it.
postgres VERB="start":
    tests/components/postgres.sh {{ VERB }} '{{ postgres_dir }}' {{ postgres_port }}

# An S3 of others for the tests: `just s3` starts it, `just s3 stop` ends it.
s3 VERB="start":
    tests/components/moto.sh {{ VERB }} '{{ s3_dir }}' {{ s3_port }}

# All that must hold before a change is taken.
ci:
    .ci/run
