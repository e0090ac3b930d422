import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.List;

/**
 * What a BI tool does with a JDBC driver: logs in, looks at the catalogue, asks, changes. Prints what it finds. Arguments:
 * URL, password, and "columns" if the driver is to describe the columns of a table.
 */
public final class Shop {
    public static void main(String[] arguments) throws SQLException {
        try (Connection connection = DriverManager.getConnection(arguments[0], "root", arguments[1])) {
            say("valid " + connection.isValid(5) + ", database " + connection.getCatalog());
            catalogue(connection.getMetaData(), arguments.length > 2);
            prepared(connection);
            connection.setAutoCommit(false);
            plain(connection);
            connection.commit();
            refused(connection);
            connection.rollback();
        }
        say("ok");
    }

    private static void catalogue(DatabaseMetaData about, boolean describes) throws SQLException {
        if (describes) {
            List<String> columns = new ArrayList<>();
            try (ResultSet found = about.getColumns("shop", null, "orders", "%")) {
                while (found.next()) {
                    columns.add(found.getString("COLUMN_NAME") + ":" + found.getInt("DATA_TYPE"));
                }
            }
            say("columns " + columns);
        }
        say("all " + tables(about, null));
        say("tables " + tables(about, new String[] {"TABLE"}));
    }

    private static List<String> tables(DatabaseMetaData about, String[] types) throws SQLException {
        List<String> tables = new ArrayList<>();
        try (ResultSet found = about.getTables("shop", null, "%", types)) {
            while (found.next()) {
                tables.add(found.getString("TABLE_NAME") + ":" + found.getString("TABLE_TYPE"));
            }
        }
        return tables;
    }

    private static void prepared(Connection connection) throws SQLException {
        String sql = "SELECT id, name, amount, at, price FROM orders WHERE name = ? OR id > ? ORDER BY id";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            statement.setString(1, "Zoë");
            statement.setLong(2, 5);
            try (ResultSet rows = statement.executeQuery()) {
                ResultSetMetaData about = rows.getMetaData();
                List<String> types = new ArrayList<>();
                for (int column = 1; column <= about.getColumnCount(); column++) {
                    types.add(about.getColumnLabel(column) + ":" + about.getColumnTypeName(column));
                }
                say("types " + types);
                while (rows.next()) {
                    String name = rows.getString(2);
                    Timestamp at = rows.getTimestamp(4);
                    double price = rows.getDouble(5);
                    String shown = rows.wasNull() ? "none" : String.valueOf(price);
                    say("row " + rows.getLong(1) + " " + name + " " + rows.getBigDecimal(3) + " " + at + " " + shown);
                }
            }
        }
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO orders (id, name, amount) VALUES (?, ?, ?)")) {
            statement.setLong(1, 2);
            statement.setString(2, "it's");
            statement.setBigDecimal(3, new BigDecimal("0.10"));
            say("inserted " + statement.executeUpdate());
        }
    }

    private static void plain(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery("SELECT count(*), sum(amount), max(id) FROM orders")) {
            row.next();
            say("sums " + row.getLong(1) + " " + row.getBigDecimal(2) + " " + row.getLong(3));
        }
        try (Statement statement = connection.createStatement()) {
            statement.setMaxRows(1);
            int rows = 0;
            try (ResultSet found = statement.executeQuery("SELECT id FROM orders")) {
                while (found.next()) {
                    rows++;
                }
            }
            say("at most " + rows);
        }
    }

    private static void refused(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT nope FROM orders");
            say("not refused");
        } catch (SQLException error) {
            say("refused " + error.getErrorCode() + " " + error.getMessage().contains("nope"));
        }
    }

    private static void say(String text) {
        System.out.println(text);
    }
}
