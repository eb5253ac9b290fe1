CREATE EXTERNAL TABLE meterlake.coverage_hourly
LOCATION 's3://LAKE/tables/coverage_hourly/'
TBLPROPERTIES ('table_type' = 'DELTA');
