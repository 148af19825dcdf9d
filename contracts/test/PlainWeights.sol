// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Rules that weigh whole rows as their definitions say them: distances and agreement from the rows themselves,
/// roots by halving. A choice is written as calls carry it: the weights, then what their sum is divided by.
library PlainWeights {
    function geometricMedian(int256[][] memory rows) internal pure returns (bytes memory choice) {
        uint256[] memory weights = new uint256[](rows.length);
        for (uint256 row = 0; row < rows.length; ++row) {
            weights[row] = 1;
        }
        for (uint256 step = 0; step < 32; ++step) {
            weights = reweighed(distancesFrom(rows, weights));
        }
        return encoded(weights, sumOf(weights));
    }

    /// @dev The inverse of each distance, as a part of the greatest; none less than 2^-10 of the lower median's.
    function reweighed(uint256[] memory distances) private pure returns (uint256[] memory weights) {
        uint256 least = lowerMedian(distances) / 1024;
        if (least == 0) least = 1;
        uint256 nearest = type(uint256).max;
        for (uint256 row = 0; row < distances.length; ++row) {
            if (distances[row] < least) distances[row] = least;
            if (distances[row] < nearest) nearest = distances[row];
        }
        weights = new uint256[](distances.length);
        for (uint256 row = 0; row < distances.length; ++row) {
            weights[row] = 2 ** 30 * nearest / distances[row];
        }
    }

    /// @dev floor(2^16 |x_i - z|), z being the mean by the weights.
    function distancesFrom(int256[][] memory rows, uint256[] memory weights)
        private
        pure
        returns (uint256[] memory distances)
    {
        int256 total = int256(sumOf(weights));
        int256[] memory middle = new int256[](rows[0].length);
        distances = new uint256[](rows.length);
        for (uint256 row = 0; row < rows.length; ++row) {
            for (uint256 column = 0; column < middle.length; ++column) {
                middle[column] += int256(weights[row]) * rows[row][column];
            }
        }
        for (uint256 row = 0; row < rows.length; ++row) {
            uint256 square = 0;
            for (uint256 column = 0; column < middle.length; ++column) {
                square += uint256((total * rows[row][column] - middle[column]) ** 2);
            }
            distances[row] = rootOf(square * 2 ** 32 / uint256(total * total));
        }
    }

    function lowerMedian(uint256[] memory values) private pure returns (uint256) {
        for (uint256 row = 0; row < values.length; ++row) {
            uint256 less = 0;
            uint256 equal = 0;
            for (uint256 other = 0; other < values.length; ++other) {
                if (values[other] < values[row]) ++less;
                if (values[other] == values[row]) ++equal;
            }
            uint256 rank = (values.length - 1) / 2;
            if (less <= rank && rank < less + equal) return values[row];
        }
        revert("no such rank");
    }

    /// @notice FLTrust's choice; zeros if the trusted row does not exist.
    function trusting(int256[][] memory rows, uint256 trusted) internal pure returns (bytes memory choice) {
        uint256[] memory weights = new uint256[](rows.length);
        uint256 divisor = 0;
        for (uint256 row = 0; row < rows.length && trusted < rows.length; ++row) {
            int256 agreement = inner(rows[row], rows[trusted]);
            if (row == trusted || agreement <= 0) continue;
            uint256 square = uint256(inner(rows[row], rows[row]));
            uint256 weight = uint256(agreement) * 2 ** 24 / square;
            weights[row] = weight < 2 ** 30 ? weight : 2 ** 30;
            // The least b with b |g| >= w |x|.
            uint256 wanted = uint256(inner(rows[trusted], rows[trusted]));
            uint256 ratio = weights[row] ** 2 * square;
            uint256 share = rootOf(ratio / wanted);
            divisor += share * share * wanted < ratio ? share + 1 : share;
        }
        return encoded(weights, divisor);
    }

    function inner(int256[] memory one, int256[] memory other) private pure returns (int256 product) {
        for (uint256 column = 0; column < one.length; ++column) {
            product += one[column] * other[column];
        }
    }

    /// @notice The shares of centered clipping's only step.
    function clipped(uint64[] memory squaredNorms, uint256 clipNorm) internal pure returns (uint256[] memory shares) {
        shares = new uint256[](squaredNorms.length);
        for (uint256 row = 0; row < shares.length; ++row) {
            uint256 norm = rootOf(uint256(squaredNorms[row]) * 2 ** 32);
            uint256 factor = clipNorm * 2 ** 46 / (norm == 0 ? 1 : norm);
            shares[row] = (factor < 2 ** 30 ? factor : 2 ** 30) / shares.length;
        }
    }

    /// @notice The only row that is left: floor(sum of w x / divisor), held within 16 bits.
    function averaged(int256[][] memory rows, uint256[] memory weights, uint256 divisor)
        internal
        pure
        returns (int256[][] memory mean)
    {
        mean = new int256[][](1);
        mean[0] = new int256[](rows[0].length);
        for (uint256 column = 0; column < mean[0].length && divisor != 0; ++column) {
            int256 sum = 0;
            for (uint256 row = 0; row < rows.length; ++row) {
                sum += int256(weights[row]) * rows[row][column];
            }
            int256 value = sum / int256(divisor);
            if (sum % int256(divisor) != 0 && sum < 0) --value;
            mean[0][column] = value < -2 ** 15 ? -(2 ** 15) : value > 2 ** 15 - 1 ? int256(2 ** 15 - 1) : value;
        }
    }

    /// @notice By a choice as it is written.
    function averagedBy(int256[][] memory rows, bytes memory choice) internal pure returns (int256[][] memory) {
        uint256[] memory weights = new uint256[](rows.length);
        for (uint256 row = 0; row < rows.length; ++row) {
            weights[row] = numberAt(choice, row);
        }
        return averaged(rows, weights, numberAt(choice, rows.length));
    }

    function numberAt(bytes memory choice, uint256 place) internal pure returns (uint256 number) {
        for (uint256 offset = 8 * place; offset < 8 * place + 8; ++offset) {
            number = number << 8 | uint8(choice[offset]);
        }
    }

    function encoded(uint256[] memory weights, uint256 divisor) private pure returns (bytes memory choice) {
        for (uint256 row = 0; row < weights.length; ++row) {
            choice = abi.encodePacked(choice, uint64(weights[row]));
        }
        choice = abi.encodePacked(choice, uint64(divisor));
    }

    function sumOf(uint256[] memory weights) private pure returns (uint256 sum) {
        for (uint256 row = 0; row < weights.length; ++row) {
            sum += weights[row];
        }
    }

    /// @dev The greatest integer whose square is at most `square`, by halving.
    function rootOf(uint256 square) private pure returns (uint256 low) {
        uint256 high = 1 << 64;
        while (low < high) {
            uint256 middle = (low + high + 1) / 2;
            if (middle * middle <= square) low = middle;
            else high = middle - 1;
        }
    }
}
