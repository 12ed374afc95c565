package compat;

import com.aliyun.oss.OSSException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URLConnection;
import java.util.Objects;

/**
 * One signature version and one way of addressing. Each case prints a line in the form that {@code cargo xtask} reads:
 * {@code ok - LABEL / case}, {@code not ok - LABEL / case: why} or {@code skip - LABEL / case: why}.
 */
final class Room {
    interface Case {
        void run() throws Exception;
    }

    private static int passed;
    private static int failed;
    private static int skipped;

    private final String label;

    Room(String label) {
        this.label = label;
    }

    void run(String name, Case body) {
        announce(name);
        try {
            body.run();
        } catch (Exception | AssertionError error) {
            failed += 1;
            String why = error.toString().replaceAll("\\s+", " ");
            System.out.println("not ok - " + label + " / " + name + ": " + why.substring(0, Math.min(2000, why.length())));
            return;
        }
        passed += 1;
        System.out.println("ok - " + label + " / " + name);
    }

    /** Tells the server's log which case comes next, so that it says what each case did. */
    private void announce(String name) {
        try {
            URI health = URI.create(Clients.SCHEME + "://127.0.0.1:" + Clients.PORT + "/_ossia/health");
            URLConnection connection = health.toURL().openConnection();
            connection.setRequestProperty("User-Agent", "case: " + label + " / " + name);
            connection.getInputStream().close();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    void skip(String name, String why) {
        skipped += 1;
        System.out.println("skip - " + label + " / " + name + ": " + why);
    }

    /** Prints the closing line and gives the exit code. */
    static int close() {
        System.out.println(passed + " passed, " + failed + " failed, " + skipped + " skipped");
        return failed == 0 && passed > 0 ? 0 : 1;
    }

    static void equal(Object got, Object want) {
        if (!Objects.equals(got, want)) {
            throw new AssertionError("expected " + want + ", got " + got);
        }
    }

    static void check(boolean condition, String about) {
        if (!condition) {
            throw new AssertionError(about);
        }
    }

    /** Expects an error of the service, and gives it back for closer looks. */
    static OSSException refused(String code, Case body) throws Exception {
        try {
            body.run();
        } catch (OSSException error) {
            if (!code.equals(error.getErrorCode())) {
                throw error;
            }
            equal(error.getRequestId().length(), 24);
            return error;
        }
        throw new AssertionError("expected " + code + ", but it succeeded");
    }
}
