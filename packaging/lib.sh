# What the scripts beside this have in common; sourced, from the project's root.
# shellcheck shell=sh

# The versions these scripts were last tried with.
ZIG_VERSION=0.17.1
ZIGBUILD_VERSION=0.24.1
MATURIN_VERSION=1.16.0

# Tools of Python's index go here, and nowhere else on the machine.
TOOLS=$PWD/target/packaging/tools

say() {
    echo "packaging: $*" >&2
}

fail() {
    say "$@"
    exit 1
}

# The names a board goes by -> Rust's name of the target.
target_of() {
    case $1 in
        aarch64 | arm64) echo aarch64-unknown-linux-musl ;;
        armv7 | armv7l | armhf) echo armv7-unknown-linux-musleabihf ;;
        x86_64 | amd64) echo x86_64-unknown-linux-musl ;;
        armv6 | armv6l | arm | armel | armv5*)
            fail "boards older than ARMv7 (Raspberry Pi 1 and Zero) are not supported: they lack instructions that adrt is compiled to; a Pi 2, a Zero 2 or a later one has them" ;;
        *) fail "which machine is it for? aarch64, armv7 or x86_64" ;;
    esac
}

# Python's tools in these versions, whatever else of the kind the machine has.
need_tools() {
    [ -x "$TOOLS/bin/pip" ] || python3 -m venv "$TOOLS" >&2
    PATH=$TOOLS/bin:$PATH
    export PATH
    wanted="ziglang==$ZIG_VERSION cargo-zigbuild==$ZIGBUILD_VERSION maturin==$MATURIN_VERSION"
    [ "$(cat "$TOOLS/installed" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing $wanted into ${TOOLS#"$PWD"/}"
    # shellcheck disable=SC2086 # three words
    pip install --quiet --disable-pip-version-check $wanted >&2
    echo "$wanted" >"$TOOLS/installed"
}

# Asks rustup for the target's standard library. Where it has none that is
# compiled, as it may be for less common targets, cargo is told to compile it from
# its sources, by the same compiler.
need_std() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ] && return
    command -v rustup >/dev/null || fail "rustc has no standard library for $1, and there is no rustup to ask for it"
    say "rustup target add $1"
    rustup target add "$1" >&2 && return
    say "there is none to be had: it will be compiled"
    rustup component add rust-src >&2
    # What a program begins with comes with the compiled library, or from zig.
    RUSTFLAGS="${RUSTFLAGS:-} -C link-self-contained=no"
    export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort RUSTFLAGS
}

# Does the file ask for no loader and no library?
is_static() {
    headers=$(readelf --program-headers --dynamic --wide "$1") || fail "cannot read $1"
    case $headers in
        *INTERP* | *NEEDED*) return 1 ;;
    esac
}

# What panics here aborts, so nothing ever unwinds: the tables for it are left
# out of adrt, SQLite and zstd. (Cargo.toml can't say it for one profile alone,
# and the tests need theirs.)
lean() {
    RUSTFLAGS="${RUSTFLAGS:-} -C force-unwind-tables=no"
    CFLAGS="${CFLAGS:-} -fno-asynchronous-unwind-tables -fno-unwind-tables"
    export RUSTFLAGS CFLAGS
}
