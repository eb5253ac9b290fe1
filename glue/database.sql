CREATE DATABASE IF NOT EXISTS meterlake
COMMENT 'Usage, charges and the log records behind them.';
