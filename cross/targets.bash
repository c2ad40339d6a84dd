# Shared by the scripts of this folder; sourced, never run.

cross_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
workspace_dir=$(dirname "$cross_dir")

# Longest emulated run of one test program, in seconds: a loaded machine has been seen 25 times slower than a quiet one.
emulated_timeout_s=${CROSS_EMULATED_TIMEOUT_S:-900}

say() { printf 'cross: %s\n' "$*"; }

fail() {
    printf 'cross: error: %s\n' "$*" >&2
    exit 1
}

# target_names: every target of targets.toml, one a line.
target_names() {
    sed -nE 's/^\[([A-Za-z0-9_-]+)\]$/\1/p' "$cross_dir/targets.toml"
}

# target_field TARGET KEY: the value, without quotes and digit separators. Fails if the target or key is missing.
target_field() {
    awk -v target="$1" -v key="$2" '
        /^\[/ { inside = ($0 == "[" target "]") }
        inside && $1 == key && $2 == "=" {
            value = substr($0, index($0, "=") + 2)
            if (value ~ /^"/) gsub(/^"|"$/, "", value); else gsub(/_/, "", value)
            print value
            found = 1
        }
        END { exit !found }' "$cross_dir/targets.toml" ||
        fail "targets.toml has no \"$2\" for \"$1\". It knows: $(target_names | tr '\n' ' ')"
}

# The oldest Rust that builds the workspace, as Cargo.toml declares it.
rust_version_min() {
    sed -nE 's/^rust-version = "([0-9.]+)"$/\1/p' "$workspace_dir/Cargo.toml" | head -n 1
}

# version_at_least VERSION MINIMUM
version_at_least() {
    [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

# rustup_has TARGET: rustup's active toolchain holds the target's standard library. Adds nothing.
rustup_has() {
    command -v rustup >/dev/null &&
        (cd "$workspace_dir" && rustup target list --installed 2>/dev/null) | grep -qxF "$1"
}

# debian_has TARGET: Debian's compiler in /usr/bin holds the target's standard library.
debian_has() {
    [[ -x /usr/bin/rustc && -x /usr/bin/cargo ]] &&
        compgen -G "/usr/lib/rustlib/$1/lib/libstd-*.rlib" >/dev/null &&
        version_at_least "$(/usr/bin/rustc --version | cut -d' ' -f2)" "$(rust_version_min)"
}

# debian_has_source: Debian's compiler in /usr/bin, and the source of its standard library, which it can build for any target.
debian_has_source() {
    [[ -x /usr/bin/rustc && -x /usr/bin/cargo && -f /usr/lib/rustlib/src/rust/library/Cargo.lock ]] &&
        version_at_least "$(/usr/bin/rustc --version | cut -d' ' -f2)" "$(rust_version_min)"
}

# choose_rust TARGET: sets `cargo_command`, and `std_arguments` for its verbs that compile; exports what Debian's pair needs.
choose_rust() {
    cargo_command=(cargo)
    std_arguments=()
    if rustup_has "$1"; then
        say "$1: standard library from rustup"
        return
    fi
    # Debian's pair by name, since a cargo of rustup comes first on PATH. rustup's toolchains stay as they are.
    cargo_command=(/usr/bin/cargo)
    if debian_has "$1"; then
        say "$1: standard library from Debian, $(/usr/bin/rustc --version)"
    elif [[ $1 == armv7-unknown-linux-gnueabihf ]] && debian_has_source; then
        # `-Z` is for nightly compilers unless this says otherwise; what it does with this one is what cross/check has seen.
        export RUSTC_BOOTSTRAP=1
        std_arguments=(-Z build-std=std,panic_unwind)
        say "$1: standard library built from Debian's source, $(/usr/bin/rustc --version)"
    else
        fail "no Rust standard library for $1. Run \`rustup target add $1\`, or cross/setup-debian as root (README.md)"
    fi
    export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
}

# musl_headers_dir TARGET: where cross/musl-headers puts the headers of musl for the target's C code.
musl_headers_dir() {
    printf '%s/cross/%s\n' "$(realpath -m "${CARGO_TARGET_DIR:-$workspace_dir/target}")" "$1"
}

# choose_c_compiler TARGET: exports what cargo and the cc crate read: linker, C compiler, runner.
choose_c_compiler() {
    local compiler runner underscored=${1//-/_}
    compiler=$(target_field "$1" c_compiler)
    runner=$(target_field "$1" runner)
    command -v "$compiler" >/dev/null ||
        fail "no C compiler \"$compiler\" for $1. On Debian: apt-get install $(target_field "$1" package). README.md says where it comes from"
    export "CC_$underscored=$compiler" "CARGO_TARGET_${underscored^^}_LINKER=$compiler"
    if [[ $compiler == *-gcc ]]; then export "AR_$underscored=${compiler%gcc}ar"; fi
    if [[ -n $runner ]]; then
        # Nothing that is emulated runs without a limit: README.md, "The runner".
        export "CARGO_TARGET_${underscored^^}_RUNNER=timeout --kill-after=5 $emulated_timeout_s $runner"
    fi
    if [[ $1 == *-musl* ]]; then
        local headers
        headers=$(musl_headers_dir "$1")
        [[ -d $headers ]] || "$cross_dir/musl-headers" "$1"
        # The compiler is glibc's: its own headers stay, glibc's go. rustup's target brings musl itself, which is linked in.
        export "CFLAGS_$underscored=-nostdinc -isystem $($compiler -print-file-name=include) -isystem $headers"
    fi
}
