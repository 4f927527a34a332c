# What the scripts of the tests share; sourced, never run. Each script defines what it skips.

say() { printf '== %s\n' "$*" >&2; }

# as_root COMMAND...: runs it where this user may, else fails.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else command -v sudo >/dev/null && sudo -n "$@"; fi
}

# install PROGRAM PACKAGE WHY: installs a program that is missing from the system's packages, where that is allowed.
install() {
    command -v "$1" >/dev/null && return 0
    if command -v apt-get >/dev/null && as_root true 2>/dev/null; then
        say "installing the package $2, because $3"
        if [ -z "${updated:-}" ]; then
            as_root apt-get update -qq || say "apt-get update failed; trying with the lists that are there"
            updated=1
        fi
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2 || true
    fi
    command -v "$1" >/dev/null
}

# install_browser WHY
install_browser() {
    command -v chromium-browser >/dev/null || install chromium chromium "$1"
}

# npm_packages: those of package-lock.json in this folder. Answers 1 where the registry cannot be reached.
npm_packages() {
    cmp -s package-lock.json node_modules/.of-lock && return 0
    local log
    log=$(mktemp)
    if ! npm ci --no-progress --fetch-retries=1 --fetch-timeout=60000 >"$log" 2>&1; then
        cat "$log" >&2
        if grep -Eq 'ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|E403|E50[0-9]' "$log"; then
            rm -f "$log"
            return 1
        fi
        rm -f "$log"
        exit 1
    fi
    rm -f "$log"
    cp package-lock.json node_modules/.of-lock
}
