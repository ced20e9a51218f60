# What a developer does all day. Each recipe is one line that can be typed without `just`.

kafka_dir := env("XDG_CACHE_HOME", home_directory() / ".cache") / "millrace-test/node"
kafka_port := "19092"

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

# The tests against a real Kafka and the real MySQL clients, none of them skipped.
test-real *FILTER: kafka
    eval "$(tests/components/clients.sh)" && \
    MILLRACE_TEST_KAFKA=127.0.0.1:{{ kafka_port }} MILLRACE_TEST_KAFKA_CONTROL='{{ kafka_dir }}/control' \
    MILLRACE_TEST_REQUIRE=kafka,clients cargo test --profile tests --workspace {{ FILTER }}

# Benchmarks; the words after it are the benchmark's own.
bench *ARGS:
    cargo run --release -p millrace-benches -- {{ ARGS }}

# A real Kafka for the tests: `just kafka` starts it, `just kafka stop` ends it.
kafka VERB="start":
    tests/components/kafka.sh {{ VERB }} '{{ kafka_dir }}' {{ kafka_port }}

# All that must hold before a change is taken.
ci:
    .ci/run
