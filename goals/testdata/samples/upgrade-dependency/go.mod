module example.com/sample

go 1.24

require example.com/dep v1.2.0

replace example.com/dep => ./dep
